#pragma once
/// Multi-head self-attention with four projections.

#include <cmath>

#include "tessera/core/sequences.hpp"
#include "tessera/layer/linear.hpp"
#include "tessera/layer/rotary.hpp"

namespace tessera {

/// Keys and values of earlier tokens followed by room for the new ones: [past + tokens, kv_heads · head_dim] each.
template <class S>
struct KeyValues {
  Mat<S> keys, values;
};

struct AttentionConfig {
  int width = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  bool qkv_bias = false;
  bool out_bias = false;
  bool causal = false;
  const char* out_name = "o_proj";  ///< published name of the output projection
};

/// What goes with x into an attention layer.
template <class S>
struct AttentionInputs {
  Mat<const S> residual{};                    ///< added to y; a null view for none
  const RotaryTables<S>* rope = nullptr;      ///< rotates queries and keys; null for none. Row r is for the r-th of x's
                                              ///< rows within their sequence
  const RotaryTables<S>* unrotate = nullptr;  ///< undoes it, for the backward pass
  const KeyValues<S>* kv = nullptr;      ///< null: attend within x alone. Else the new keys and values go to its last
                                         ///< rows, and all of its rows are attended to; x is one sequence then
  const Sequences* sequences = nullptr;  ///< of which x's rows consist; null: one
};

/// y = out(softmax(q kᵀ / sqrt(head_dim)) v) + residual, with grouped key/value heads, optional rotary embedding and
/// optional cache. x, y: [tokens, Width]. `Inner` = heads · head_dim, `KvInner` = kv_heads · head_dim.
template <dim Width = dyn, dim Inner = dyn, dim KvInner = dyn, class Format = any_format>
struct Attention {
  static constexpr dim in_width = Width, out_width = Width;

  Linear<Width, Inner, Format> q_proj;
  Linear<Width, KvInner, Format> k_proj, v_proj;
  Linear<Inner, Width, Format> out_proj;
  AttentionShape shape;
  const char* out_name;

  explicit Attention(const AttentionConfig& cfg, DType dtype = DType::f32)
      : q_proj(cfg.width, cfg.heads * cfg.head_dim, cfg.qkv_bias, dtype),
        k_proj(cfg.width, cfg.kv_heads * cfg.head_dim, cfg.qkv_bias, dtype),
        v_proj(cfg.width, cfg.kv_heads * cfg.head_dim, cfg.qkv_bias, dtype),
        out_proj(cfg.heads * cfg.head_dim, cfg.width, cfg.out_bias, dtype),
        shape{cfg.heads, cfg.kv_heads, cfg.head_dim, 1 / std::sqrt(static_cast<float>(cfg.head_dim)), cfg.causal},
        out_name(cfg.out_name) {
    if (cfg.kv_heads < 1 || cfg.heads % cfg.kv_heads != 0) {
      fail("attention: ", cfg.heads, " heads cannot share ", cfg.kv_heads, " key/value heads evenly");
    }
  }
  int out() const { return out_proj.out(); }

  template <class V, class First, class... L>
  static void params(V&& v, First& first, L&... l) {
    v("q_proj", first.q_proj, l.q_proj...);
    v("k_proj", first.k_proj, l.k_proj...);
    v("v_proj", first.v_proj, l.v_proj...);
    v(first.out_name, first.out_proj, l.out_proj...);
  }

  template <Need N, class S>
  struct Saved {
    LinearSaved<N, S> x;  // one input for q, k and v
    [[no_unique_address]] saved_if<N.any(), Mat<const S>> q, k, v;
    LinearSaved<N.inner(), S> out;
  };

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, const AttentionInputs<S>& inputs, Saved<N, S>& saved) const {
    const Arena::Scope scope(c.arena);
    const Mat<S> q = c.arena.template mat<S>(x.rows, q_proj.out(), kept_if(N.any()));
    const KeyValues<S> all = inputs.kv != nullptr
                                 ? *inputs.kv
                                 : KeyValues<S>{c.arena.template mat<S>(x.rows, k_proj.out(), kept_if(N.any())),
                                                c.arena.template mat<S>(x.rows, v_proj.out(), kept_if(N.any()))};
    const int past = all.keys.rows - x.rows;
    const Mat<S> k = all.keys.rows_at(past, x.rows), v = all.values.rows_at(past, x.rows);
    q_proj.template forward<N>(c, x, q, saved.x);
    k_proj.template forward<N>(c, x, k, saved.x);
    v_proj.template forward<N>(c, x, v, saved.x);
    const Mat<S> heads = c.arena.template mat<S>(x.rows, q_proj.out(), kept_if(N.dw));
    const Sequences sequences = sequences_of(inputs, x.rows);
    for (int i = 0; i < sequences.count(); ++i) {
      const int begin = sequences.begin(i), rows = sequences.length(i);
      const Mat<S> qs = q.rows_at(begin, rows);
      if (inputs.rope != nullptr) rotate(c, qs, k.rows_at(begin, rows), *inputs.rope);
      c.ops.attention(c, qs, all.keys.rows_at(begin, past + rows), all.values.rows_at(begin, past + rows), shape,
                      heads.rows_at(begin, rows));
    }
    out_proj.template forward<N.inner()>(c, heads, y, Epilogue<S>{.residual = inputs.residual}, saved.out);
    if constexpr (N.any()) saved.q = q, saved.k = k, saved.v = v;
  }

  /// `inputs` as in forward. Not for a layer that ran with a cache. The gradient of the residual is dy itself: its
  /// owner adds it.
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx, const AttentionInputs<S>& inputs) const {
    const Arena::Scope scope(c.arena);
    const Mat<S> heads = c.arena.template zeros<S>(dy.rows, q_proj.out()),
                 dq = c.arena.template zeros<S>(dy.rows, q_proj.out()),
                 dk = c.arena.template zeros<S>(dy.rows, k_proj.out()),
                 dv = c.arena.template zeros<S>(dy.rows, v_proj.out());
    out_proj.template backward<N.inner()>(c, saved.out, dy, heads);
    const Sequences sequences = sequences_of(inputs, dy.rows);
    c.ops.attention_backward(c, saved.q, saved.k, saved.v, shape, sequences, heads, dq, dk, dv);
    for (int i = 0; i < sequences.count() && inputs.unrotate != nullptr; ++i) {
      const int begin = sequences.begin(i), rows = sequences.length(i);
      rotate(c, dq.rows_at(begin, rows), dk.rows_at(begin, rows), *inputs.unrotate);
    }
    q_proj.template backward<N>(c, saved.x, dq, dx);
    k_proj.template backward<N>(c, saved.x, dk, dx);
    v_proj.template backward<N>(c, saved.x, dv, dx);
  }

 private:
  template <class S>
  static Sequences sequences_of(const AttentionInputs<S>& inputs, int rows) {
    return inputs.sequences != nullptr ? *inputs.sequences : Sequences(1, rows);
  }
  template <class Ctx, class S>
  void rotate(Ctx& c, Mat<S> q, Mat<S> k, const RotaryTables<S>& tables) const {
    const Mat<const S> cos = tables.cos.rows_at(0, q.rows), sin = tables.sin.rows_at(0, q.rows);
    c.ops.rotate(c, q, shape.heads, cos, sin);
    c.ops.rotate(c, k, shape.kv_heads, cos, sin);
  }
};

}  // namespace tessera

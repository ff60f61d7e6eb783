#pragma once
/// The two feed-forward blocks of transformers.

#include "tessera/layer/linear.hpp"

namespace tessera {

/// y = fc2(act(fc1(x))) + residual. x, y: [tokens, Width].
template <dim Width = dyn, dim Inner = dyn, class Format = any_format>
struct Mlp {
  static constexpr dim in_width = Width, out_width = Width;
  using In = ActivatedLinear<Width, Inner, Format, 1>;
  using Out = Linear<Inner, Width, Format, 1>;

  In fc1;
  Out fc2;

  Mlp(int width, int inner, Activation act, DType dtype = DType::f32)
      : fc1(width, inner, act, true, dtype), fc2(inner, width, true, dtype) {}
  int out() const { return fc2.out(); }

  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v("fc1", l.fc1...);
    v("fc2", l.fc2...);
  }

  template <Need N, class S>
  struct Saved {
    typename In::template Saved<N, S> fc1;
    LinearSaved<N.inner(), S> fc2;
  };

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, Input<S> residual, Saved<N, S>& saved) const {
    const Arena::Scope scope(c.arena);
    const Mat<S> inner = c.arena.template mat<S>(x.rows, fc1.out(), kept_if(N.dw));
    fc1.template forward<N>(c, x, inner, saved.fc1);
    fc2.template forward<N.inner()>(c, inner, y, Epilogue<S>{.residual = residual}, saved.fc2);
  }

  /// The gradient of the residual is dy itself: its owner adds it.
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx) const {
    const Arena::Scope scope(c.arena);
    const Mat<S> inner = c.arena.template zeros<S>(dy.rows, fc1.out());
    fc2.template backward<N.inner()>(c, saved.fc2, dy, inner);
    fc1.template backward<N>(c, saved.fc1, inner, dx);
  }
};

/// y = down(act(gate(x)) ⊙ up(x)) + residual (Shazeer 2020, LlamaMLP). x, y: [tokens, Width].
template <dim Width = dyn, dim Inner = dyn, class Format = any_format>
struct GatedMlp {
  static constexpr dim in_width = Width, out_width = Width;
  using In = Linear<Width, Inner, Format>;
  using Out = Linear<Inner, Width, Format>;

  In gate_proj, up_proj;
  Out down_proj;
  Activation act;

  GatedMlp(int width, int inner, Activation activation, bool bias = false, DType dtype = DType::f32)
      : gate_proj(width, inner, bias, dtype),
        up_proj(width, inner, bias, dtype),
        down_proj(inner, width, bias, dtype),
        act(activation) {}
  int out() const { return down_proj.out(); }

  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v("gate_proj", l.gate_proj...);
    v("up_proj", l.up_proj...);
    v("down_proj", l.down_proj...);
  }

  template <Need N, class S>
  struct Saved {
    LinearSaved<N, S> in;  // one input for gate and up
    [[no_unique_address]] saved_if<N.any(), Mat<const S>> gate, up;
    LinearSaved<N.inner(), S> down;
  };

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, Input<S> residual, Saved<N, S>& saved) const {
    const Arena::Scope scope(c.arena);
    const Mat<S> inner = c.arena.template mat<S>(x.rows, gate_proj.out(), kept_if(N.dw));
    if constexpr (N.any()) {
      const Mat<S> gate = c.arena.template mat<S>(x.rows, gate_proj.out(), Lifetime::backward),
                   up = c.arena.template mat<S>(x.rows, up_proj.out(), Lifetime::backward);
      gate_proj.template forward<N>(c, x, gate, saved.in);
      up_proj.template forward<N>(c, x, up, saved.in);
      c.ops.gate(c, act, gate, up, inner);
      saved.gate = gate;
      saved.up = up;
    } else {
      c.ops.gated(c, x, gate_proj.weight, gate_proj.bias_view(), up_proj.weight, up_proj.bias_view(), act, inner);
    }
    down_proj.template forward<N.inner()>(c, inner, y, Epilogue<S>{.residual = residual}, saved.down);
  }

  /// The gradient of the residual is dy itself: its owner adds it.
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx) const {
    const Arena::Scope scope(c.arena);
    const Mat<S> inner = c.arena.template zeros<S>(dy.rows, gate_proj.out()),
                 gate = c.arena.template zeros<S>(dy.rows, gate_proj.out()),
                 up = c.arena.template zeros<S>(dy.rows, up_proj.out());
    down_proj.template backward<N.inner()>(c, saved.down, dy, inner);
    c.ops.gate_backward(c, act, saved.gate, saved.up, inner, gate, up);
    gate_proj.template backward<N>(c, saved.in, gate, dx);
    up_proj.template backward<N>(c, saved.in, up, dx);
  }
};

}  // namespace tessera

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
    typename Out::template Saved<N, S> fc2;
  };

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, Input<S> residual, Saved<N, S>& saved) const {
    TemporaryScope<N> scope(c.arena);
    const Mat<S> inner = c.arena.template mat<S>(x.rows, fc1.out());
    fc1.template forward<N>(c, x, inner, saved.fc1);
    fc2.template forward<N>(c, inner, y, Epilogue<S>{.residual = residual}, saved.fc2);
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
    typename In::template Saved<N, S> in;
    [[no_unique_address]] saved_if<N.any(), Mat<const S>> gate, up;
    typename Out::template Saved<N, S> down;
  };

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, Input<S> residual, Saved<N, S>& saved) const {
    TemporaryScope<N> scope(c.arena);
    const Mat<S> inner = c.arena.template mat<S>(x.rows, gate_proj.out());
    if constexpr (N.any()) {  // backward reads both factors; computing them again costs less than one more fused op
      const Mat<S> gate = c.arena.template mat<S>(x.rows, gate_proj.out()),
                   up = c.arena.template mat<S>(x.rows, up_proj.out());
      gate_proj.template forward<N>(c, x, gate, saved.in);
      up_proj.template forward<N>(c, x, up, saved.in);
      saved.gate = gate;
      saved.up = up;
    }
    c.ops.gated(c, x, gate_proj.weight, gate_proj.bias_view(), up_proj.weight, up_proj.bias_view(), act, inner);
    down_proj.template forward<N>(c, inner, y, Epilogue<S>{.residual = residual}, saved.down);
  }
};

}  // namespace tessera

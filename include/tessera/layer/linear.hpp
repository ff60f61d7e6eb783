#pragma once

#include "tessera/format/float_formats.hpp"
#include "tessera/layer/concept.hpp"
#include "tessera/ops/concept.hpp"

namespace tessera {

/// What the gradient of a weight matrix is made from: the layer's input.
template <Need N, class S>
struct LinearSaved {
  [[no_unique_address]] saved_if<N.dw, Mat<const S>> x;
};

/// y = x Wᵀ + b. x: [tokens, In], y: [tokens, Out]. Published names: `weight` [Out, In], `bias` [Out].
/// `Bias` is 1, 0, or `dyn` where the config decides.
template <dim In = dyn, dim Out = dyn, class Format = any_format, dim Bias = dyn>
struct Linear {
  static constexpr dim in_width = In, out_width = Out;

  Matrix<Format, Out, In> weight;
  Vector<Out> bias;
  [[no_unique_address]] Extent<Bias> has_bias;

  Linear(int in, int out, bool with_bias = Bias != 0, DType dtype = DType::f32)
      : weight(out, in, dtype), bias(out), has_bias(with_bias) {}

  int in() const { return weight.cols(); }
  int out() const { return weight.rows(); }

  template <class V, class First, class... L>
  static void params(V&& v, First& first, L&... l) {
    v("weight", first.weight, l.weight...);
    if (first.has_bias.value() != 0) v("bias", first.bias, l.bias...);
  }

  template <Need N, class S>
  using Saved = LinearSaved<N, S>;

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, Saved<N, S>& saved) const {
    forward<N>(c, x, y, Epilogue<S>{}, saved);
  }

  /// With the activation and the residual of `epilogue` fused into the product; its bias is this layer's.
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, Epilogue<S> epilogue, Saved<N, S>& saved) const {
    epilogue.bias = bias_view();
    c.ops.linear(c, x, weight, epilogue, y);
    if constexpr (N.dw) saved.x = x;
  }

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx) const {
    if constexpr (N.dx) c.ops.linear_dx(c, dy, weight, dx);
    if constexpr (N.dw)
      c.ops.linear_dw(c, dy, saved.x, c.gradients(weight), has_bias.value() != 0 ? c.gradients(bias) : Mat<S>{});
  }

  WeightView bias_view() const { return has_bias.value() != 0 ? bias.view() : WeightView{}; }
};

/// y = act(x Wᵀ + b). Fused into one op in inference; for a backward pass it keeps what the activation got.
template <dim In = dyn, dim Out = dyn, class Format = any_format, dim Bias = dyn>
struct ActivatedLinear : Linear<In, Out, Format, Bias> {
  using Base = Linear<In, Out, Format, Bias>;

  Activation act;

  ActivatedLinear(int in, int out, Activation activation, bool with_bias = Bias != 0, DType dtype = DType::f32)
      : Base(in, out, with_bias, dtype), act(activation) {}

  template <Need N, class S>
  struct Saved {
    LinearSaved<N, S> linear;
    [[no_unique_address]] saved_if<N.any(), Mat<const S>> before_act;
  };

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, Saved<N, S>& saved) const {
    if constexpr (N.any()) {
      const Mat<S> before =
          act == Activation::identity ? y : c.arena.template mat<S>(y.rows, y.cols, Lifetime::backward);
      Base::template forward<N>(c, x, before, saved.linear);
      saved.before_act = before;
      if (act == Activation::identity || c.arena.counting()) return;
      copy(before, y);
      c.ops.activate(c, act, y);
    } else {
      Base::template forward<N>(c, x, y, Epilogue<S>{.activation = act}, saved.linear);
    }
  }

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx) const {
    if (act == Activation::identity) return Base::template backward<N>(c, saved.linear, dy, dx);
    const Arena::Scope scope(c.arena);
    const Mat<S> before = c.arena.template zeros<S>(dy.rows, dy.cols);
    c.ops.activate_backward(c, act, saved.before_act, dy, before);
    Base::template backward<N>(c, saved.linear, before, dx);
  }
};

}  // namespace tessera

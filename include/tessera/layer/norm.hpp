#pragma once

#include "tessera/layer/concept.hpp"
#include "tessera/ops/concept.hpp"

namespace tessera {

/// y = (x − mean) / sqrt(var + eps) · weight + bias over the last axis, biased variance (torch.nn.LayerNorm).
template <dim Width = dyn>
struct LayerNorm {
  static constexpr dim in_width = Width, out_width = Width;

  Vector<Width> weight, bias;
  float eps;

  explicit LayerNorm(int width, float epsilon = 1e-5f) : weight(width), bias(width), eps(epsilon) {}
  int out() const { return weight.cols(); }

  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v("weight", l.weight...);
    v("bias", l.bias...);
  }

  template <Need N, class S>
  struct Saved {
    [[no_unique_address]] saved_if<N.any(), Mat<const S>> x;
  };

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, Saved<N, S>& saved) const {
    c.ops.layer_norm(c, x, weight, bias, eps, y);
    if constexpr (N.any()) saved.x = x;
  }

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx) const {
    const Mat<S> dweight = N.dw ? c.gradients(weight) : Mat<S>{}, dbias = N.dw ? c.gradients(bias) : Mat<S>{};
    c.ops.layer_norm_backward(c, saved.x, weight, eps, dy, N.dx ? dx : Mat<S>{}, dweight, dbias);
  }
};

/// y = x / sqrt(mean(x²) + eps) · weight over the last axis (Zhang & Sennrich 2019, LlamaRMSNorm).
template <dim Width = dyn>
struct RMSNorm {
  static constexpr dim in_width = Width, out_width = Width;

  Vector<Width> weight;
  float eps;

  explicit RMSNorm(int width, float epsilon = 1e-6f) : weight(width), eps(epsilon) {}
  int out() const { return weight.cols(); }

  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v("weight", l.weight...);
  }

  template <Need N, class S>
  struct Saved {
    [[no_unique_address]] saved_if<N.any(), Mat<const S>> x;
  };

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, Saved<N, S>& saved) const {
    c.ops.rms_norm(c, x, weight, eps, y);
    if constexpr (N.any()) saved.x = x;
  }

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx) const {
    c.ops.rms_norm_backward(c, saved.x, weight, eps, dy, N.dx ? dx : Mat<S>{}, N.dw ? c.gradients(weight) : Mat<S>{});
  }
};

}  // namespace tessera

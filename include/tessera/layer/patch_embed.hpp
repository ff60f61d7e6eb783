#pragma once

#include <cstddef>
#include <vector>

#include "tessera/layer/linear.hpp"

namespace tessera {

/// The convolution of a patch embedding as a matrix: [out, 3 · patch · patch], stored in files as [out, 3, patch,
/// patch].
template <class Format, dim Out, dim In>
class PatchKernel : public Matrix<Format, Out, In> {
 public:
  PatchKernel(int out, int patch, DType dtype)
      : Matrix<Format, Out, In>(out, 3 * patch * patch, dtype), patch_(patch) {}
  int patch() const { return patch_; }
  std::vector<std::int64_t> file_shape() const { return {this->rows(), 3, patch_, patch_}; }

 private:
  int patch_;
};

/// Cuts an image into patches and projects each: a convolution whose stride is its kernel size (Dosovitskiy et al.
/// 2021). One image: float [3, height, width], dense. Patches follow each other row by row, image by image.
template <dim Out = dyn, dim Patch = dyn, class Format = any_format>
struct PatchEmbed {
  static constexpr dim out_width = Out;

  PatchKernel<Format, Out, product(3, product(Patch, Patch))> weight;
  Vector<Out> bias;
  bool has_bias;

  PatchEmbed(int out, int patch, bool with_bias, DType dtype = DType::f32)
      : weight(out, patch, dtype), bias(out), has_bias(with_bias) {}
  int out() const { return weight.rows(); }

  template <class V, class First, class... L>
  static void params(V&& v, First& first, L&... l) {
    v("weight", first.weight, l.weight...);
    if (first.has_bias) v("bias", first.bias, l.bias...);
  }

  template <Need N, class S>
  using Saved = LinearSaved<N, S>;

  /// images: `count` images one after the other. y: [count · (height / patch) · (width / patch), Out].
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, const float* images, int count, int height, int width, Mat<S> y, Saved<N, S>& saved) const {
    const Arena::Scope scope(c.arena);
    const Mat<S> patches = c.arena.template mat<S>(y.rows, weight.cols(), kept_if(N.dw));
    if (!c.arena.counting()) {
      const int each = y.rows / count;
      for (int i = 0; i < count; ++i)
        unfold(images + std::ptrdiff_t{3} * i * height * width, height, width, patches.rows_at(i * each, each));
    }
    c.ops.linear(c, patches, weight, Epilogue<S>{.bias = has_bias ? bias.view() : WeightView{}}, y);
    if constexpr (N.dw) saved.x = patches;
  }

  /// The gradients of the weights; pixels get none.
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy) const {
    static_assert(!N.dx, "PatchEmbed: gradients of pixels are not provided");
    if constexpr (N.dw) c.ops.linear_dw(c, dy, saved.x, c.gradients(weight), has_bias ? c.gradients(bias) : Mat<S>{});
  }

 private:
  /// Row p of `patches` = patch p flattened as (channel, row, column).
  template <class S>
  void unfold(const float* image, int height, int width, Mat<S> patches) const {
    const int p = weight.patch(), across = width / p;
    for (int i = 0; i < patches.rows; ++i) {
      const float* corner = image + static_cast<std::ptrdiff_t>(i / across) * p * width + i % across * p;
      S* out = patches.row(i);
      for (int channel = 0; channel < 3; ++channel) {
        for (int y = 0; y < p; ++y) {
          const float* line = corner + (static_cast<std::ptrdiff_t>(channel) * height + y) * width;
          for (int x = 0; x < p; ++x) *out++ = S(line[x]);
        }
      }
    }
  }
};

}  // namespace tessera

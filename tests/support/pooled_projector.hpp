#pragma once
// A connector that mixes the rows of an image.

#include "tessera/layer/linear.hpp"

namespace tessera::test {

/// The mean of an image's rows, then one linear layer: one token for each image.
struct PooledProjector : Linear<> {
  using Linear<>::Linear;
  int tokens(int /*vision_tokens*/) const { return 1; }

  template <Need N, class S>
  using Saved = LinearSaved<N, S>;

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, int images, Mat<S> y, Saved<N, S>& saved) const {
    const Arena::Scope scope(c.arena);
    const Mat<S> means = c.arena.template mat<S>(images, x.cols, kept_if(N.dw));
    if (!c.arena.counting()) fill(means, S(0));
    for_each_row(c, x.rows, images, [&](int row, int image, S share) {
      for (int i = 0; i < x.cols; ++i) means(image, i) += share * x(row, i);
    });
    Linear<>::forward<N>(c, means, y, saved);
  }

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx, int images) const {
    const Arena::Scope scope(c.arena);
    const Mat<S> dmeans = c.arena.template zeros<S>(images, in());
    Linear<>::backward<N>(c, saved, dy, dmeans);
    if constexpr (N.dx) {
      for_each_row(c, dx.rows, images, [&](int row, int image, S share) {
        for (int i = 0; i < dx.cols; ++i) dx(row, i) += share * dmeans(image, i);
      });
    }
  }

 private:
  /// Calls f(row, its image, its share in the mean).
  template <class Ctx, class F>
  static void for_each_row(Ctx& c, int rows, int images, F&& f) {
    using S = typename Ctx::Scalar;
    const int each = rows / images;
    for (int row = 0; row < rows && !c.arena.counting(); ++row) f(row, row / each, S(1) / S(each));
  }
};

}  // namespace tessera::test

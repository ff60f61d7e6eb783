#pragma once

#include <utility>

#include "tessera/layer/concept.hpp"

namespace tessera {

/// A layer that trades time for memory: it saves its input alone and runs again when its backward needs what lies
/// between (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").
template <class L>
struct Recompute : L {
  using L::L;
  explicit Recompute(L layer) : L(std::move(layer)) {}

  template <Need N, class S>
  struct Saved {
    [[no_unique_address]] saved_if<N.any(), Mat<const S>> x;
  };

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, Saved<N, S>& saved) const {
    infer(static_cast<const L&>(*this), c, x, y);
    if constexpr (N.any()) saved.x = x;
  }
  /// For a layer that takes more than x, in its backward as well: a transformer block.
  template <Need N, class Ctx, class Inputs, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, const Inputs& inputs, Saved<N, S>& saved) const {
    infer(static_cast<const L&>(*this), c, x, y, inputs);
    if constexpr (N.any()) saved.x = x;
  }

  template <Need N, class Ctx, class S = typename Ctx::Scalar, class... Inputs>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx, const Inputs&... inputs) const {
    const Arena::PassScope scope(c.arena);
    typename L::template Saved<N, S> again;
    L::template forward<N>(c, saved.x, c.arena.template mat<S>(dy.rows, dy.cols), inputs..., again);
    L::template backward<N>(c, again, dy, dx, inputs...);
  }
};

}  // namespace tessera

#pragma once

#include <utility>

#include "tessera/layer/concept.hpp"

namespace tessera {

/// A layer whose weights do not train: it saves nothing for their gradients, has none, and below everything that trains
/// it compiles no backward pass at all.
template <class L>
struct Frozen : L {
  static constexpr bool trains = false;

  using L::L;
  explicit Frozen(L layer) : L(std::move(layer)) {}

  template <Need N, class S>
  using Saved = typename L::template Saved<Need{N.dx, false}, S>;

  template <Need N, class Ctx, class... Args>
  void forward(Ctx& c, Args&&... args) const {
    L::template forward<Need{N.dx, false}>(c, static_cast<Args&&>(args)...);
  }
  template <Need N, class Ctx, class... Args>
  void backward(Ctx& c, Args&&... args) const {
    if constexpr (N.dx) L::template backward<Need{true, false}>(c, static_cast<Args&&>(args)...);
  }
};

}  // namespace tessera

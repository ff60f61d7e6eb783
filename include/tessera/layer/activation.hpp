#pragma once
/// Activations as layers and as template arguments (`MLPProjector<2, Gelu>`).

#include "tessera/core/activation.hpp"
#include "tessera/layer/concept.hpp"
#include "tessera/ops/concept.hpp"

namespace tessera {

template <Activation A>
struct Act {
  static constexpr Activation value = A;
};
using Gelu = Act<Activation::gelu>;
using GeluTanh = Act<Activation::gelu_tanh>;
using QuickGelu = Act<Activation::quick_gelu>;
using Silu = Act<Activation::silu>;
using Relu = Act<Activation::relu>;

/// y = act(x), element by element.
template <class Function, dim Width = dyn>
struct Activate {
  static constexpr dim in_width = Width, out_width = Width;

  [[no_unique_address]] Extent<Width> width;

  explicit Activate(int w) : width(w) {}
  int out() const { return width.value(); }

  template <class V, class... L>
  static void params(V&&, L&...) {}

  template <Need N, class S>
  struct Saved {
    [[no_unique_address]] saved_if<N.dx, Mat<const S>> x;
  };

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, Saved<N, S>& saved) const {
    if (!c.arena.counting()) copy(x, y);
    c.ops.activate(c, Function::value, y);
    if constexpr (N.dx) saved.x = x;
  }

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx) const {
    if constexpr (N.dx) c.ops.activate_backward(c, Function::value, saved.x, dy, dx);
  }
};

}  // namespace tessera

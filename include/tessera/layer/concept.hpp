#pragma once
/// What a layer is. Layers are plain structs; nothing is virtual and nothing is registered.

#include <concepts>

#include "tessera/core/context.hpp"
#include "tessera/core/dims.hpp"
#include "tessera/core/need.hpp"
#include "tessera/core/params.hpp"
#include "tessera/core/tensor.hpp"

namespace tessera {

/// A layer maps rows of `in_width` to rows of `out_width` numbers (either may be `dyn`). Besides what is checked here
/// it has
///
///     template <class V, class... L> static void params(V&& v, L&... l);      // every parameter, once
///     template <Need N, class Ctx>
///     void forward(Ctx& c, Input<S> x, Mat<S> y, Saved<N, S>& saved) const;  // y must not overlap x
///
/// and, if it can be trained (through),
///
///     template <Need N, class Ctx>
///     void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx) const;
///
/// which *adds* dy · ∂y/∂x to dx if N.dx, and the gradients of its weights to `c.gradients(weight)` if N.dw. Without
/// N.dx, dx may be empty. What `forward` saves are views: its x, and its y where that is saved, must outlive the
/// backward pass.
///
/// Memory comes from `c.arena` (see Arena), whose marks go back at the end of an `Arena::Scope`; what backward is to
/// read, a part's x too, is taken with `kept_if(N.dw)`. Every pass runs first on an arena that only *counts*: parts and
/// ops take memory as always, and loops of one's own over a Mat stand behind `if (!c.arena.counting())`.
/// S is `typename Ctx::Scalar`, and `Saved<N, S>` is what its backward will read (empty for `inference`).
template <class L>
concept Layer = requires(const L& layer) {
  { L::in_width } -> std::convertible_to<dim>;
  { L::out_width } -> std::convertible_to<dim>;
  { layer.out() } -> std::convertible_to<int>;
  typename L::template Saved<inference, float>;
};

/// Fails to compile with a sentence if L is not a Layer. (A constrained template parameter would hide the reason.)
template <class L>
struct is_a_layer {
  static_assert(Layer<L>,
                "this type is not a tessera::Layer: it needs in_width, out_width, out() and Saved<Need, Scalar>");
  static constexpr bool value = Layer<L>;
};

/// Runs a layer for its output alone.
template <class L, class Ctx, class... Args>
void infer(const L& layer, Ctx& c, Args&&... args) {
  typename L::template Saved<inference, typename Ctx::Scalar> nothing;
  layer.template forward<inference>(c, static_cast<Args&&>(args)..., nothing);
}

}  // namespace tessera

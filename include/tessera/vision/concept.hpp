#pragma once

#include "tessera/layer/concept.hpp"

namespace tessera {

/// Slot 1 of a Vlm: turns an image (float [3, height, width], normalised) into `tokens()` rows of `out()` numbers.
/// Besides what is checked here it has, for a Session (one image) and for training (`images` of them in a row),
///
///     template <class V, class... L> static void params(V&& v, L&... l);
///     template <Need N, class Ctx>
///     void forward(Ctx& c, const float* pixels, Mat<S> y, Saved<N, S>& saved) const;
///     template <Need N, class Ctx>
///     void forward(Ctx& c, const float* pixels, int images, Mat<S> y, Saved<N, S>& saved) const;
///
/// and, if it can be trained,
///
///     template <Need N, class Ctx>
///     void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, int images) const;
template <class E>
concept VisionEncoder = requires(const E& encoder) {
  { E::out_width } -> std::convertible_to<dim>;
  { encoder.tokens() } -> std::same_as<int>;
  { encoder.pixels() } -> std::convertible_to<std::size_t>;
  { encoder.out() } -> std::same_as<int>;
  typename E::template Saved<inference, float>;
};

}  // namespace tessera

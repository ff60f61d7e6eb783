#pragma once

#include "tessera/layer/concept.hpp"

namespace tessera {

/// Slot 1 of a Vlm: turns an image (float [3, height, width], normalised) into `tokens()` rows of `out()` numbers.
template <class E>
concept VisionEncoder = requires(const E& encoder) {
  { E::out_width } -> std::convertible_to<dim>;
  { encoder.tokens() } -> std::same_as<int>;
  { encoder.pixels() } -> std::convertible_to<std::size_t>;
  { encoder.out() } -> std::same_as<int>;
  typename E::template Saved<inference, float>;
};

}  // namespace tessera

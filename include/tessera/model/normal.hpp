#pragma once
/// Normal random numbers. Not part of core/random.hpp, because <cmath> costs every user of the core headers 0.1 s.

#include <cmath>
#include <numbers>

#include "tessera/core/random.hpp"

namespace tessera {

/// Normal with mean 0 and deviation 1, by Box and Muller's transform of two uniform numbers.
inline double normal(SplitMix64& random) {
  const double radius = std::sqrt(-2 * std::log(1 - random.uniform()));
  return radius * std::cos(2 * std::numbers::pi * random.uniform());
}

}  // namespace tessera

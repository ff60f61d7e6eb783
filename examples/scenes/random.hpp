#pragma once
/// Random choices that are the same on every machine and compiler.

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "tessera/core/random.hpp"

namespace tessera::scenes {

/// Integers, coins and choices.
class Random {
 public:
  explicit constexpr Random(std::uint64_t key) : bits_(mix(key)) {}

  constexpr std::uint64_t next() { return bits_.next(); }

  /// Uniform in [0, count), count ≥ 1.
  constexpr int below(int count) { return static_cast<int>((next() >> 32) * static_cast<std::uint64_t>(count) >> 32); }

  /// Uniform in [low, high].
  constexpr int between(int low, int high) { return low + below(high - low + 1); }

  constexpr bool coin() { return below(2) == 0; }

  /// One element of a container that is not empty.
  template <class Container>
  constexpr const auto& pick(const Container& values) {
    return values[static_cast<std::size_t>(below(static_cast<int>(values.size())))];
  }

  template <class T>
  void shuffle(std::vector<T>& values) {
    for (std::size_t last = values.size(); last > 1; --last) {
      std::swap(values[last - 1], values[static_cast<std::size_t>(below(static_cast<int>(last)))]);
    }
  }

 private:
  SplitMix64 bits_;
};

}  // namespace tessera::scenes

#pragma once
/// Random numbers that are the same on every machine and compiler.

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace tessera::scenes {

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): a bijection of 64 bits that spreads every input bit.
constexpr std::uint64_t mix(std::uint64_t bits) {
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
  return bits ^ (bits >> 31);
}

/// SplitMix64. The standard's distributions differ between libraries, so integers are drawn here.
class Random {
 public:
  explicit constexpr Random(std::uint64_t key) : state_(mix(key)) {}

  constexpr std::uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15u); }

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
  std::uint64_t state_;
};

}  // namespace tessera::scenes

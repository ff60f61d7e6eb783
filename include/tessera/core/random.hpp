#pragma once
/// Random numbers that are the same on every machine and compiler: the distributions of <random> differ between
/// libraries.

#include <cstdint>

namespace tessera {

/// The finaliser of SplitMix64: a bijection of 64 bits that spreads every input bit.
constexpr std::uint64_t mix(std::uint64_t bits) {
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
  return bits ^ (bits >> 31);
}

/// SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators").
class SplitMix64 {
 public:
  explicit constexpr SplitMix64(std::uint64_t seed) : state_(seed) {}

  constexpr std::uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15u); }

  /// Uniform in [0, 1), in steps of 2⁻⁵³.
  constexpr double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  std::uint64_t state_;
};

}  // namespace tessera

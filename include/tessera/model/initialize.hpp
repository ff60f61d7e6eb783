#pragma once
/// Fresh weights for a model that no file fills.

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>
#include <string_view>

#include "tessera/core/params.hpp"
#include "tessera/core/weight_store.hpp"
#include "tessera/format/float_formats.hpp"

namespace tessera {

namespace detail {

/// Normal deviates by Box–Muller over splitmix64: the same on every machine, unlike std::normal_distribution.
class NormalSource {
 public:
  explicit NormalSource(std::uint64_t seed) : state_(seed) {}
  float next() {
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    return static_cast<float>(radius * std::cos(2 * std::numbers::pi * uniform()));
  }

 private:
  double uniform() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
  }
  std::uint64_t state_;
};

template <class Format, class NextValue>
void fill(std::byte* memory, std::size_t count, NextValue&& next) {
  auto* values = reinterpret_cast<typename Format::storage*>(memory);
  for (std::size_t i = 0; i < count; ++i) values[i] = Format::encode(next());
}

}  // namespace detail

/// Gives every parameter memory and a value: biases 0, norm gains 1, everything else normal with deviation 0.02 (the
/// `initializer_range` of the families). Binds matrices to an Ops that keeps copies.
template <class Model, class OpsT>
void initialize(Model& model, OpsT& ops, WeightStore& store, std::uint64_t seed) {
  detail::NormalSource normal(seed);
  for_each_param(
      [&]<class W>(std::string_view name, W& weight) {
        const bool is_vector = W::use == WeightUse::vector;
        const auto value = [&] { return is_vector && name.ends_with("bias")     ? 0.0f
                                        : is_vector && name.ends_with("weight") ? 1.0f
                                                                                : 0.02f * normal.next(); };
        std::byte* memory = store.allocate(weight.bytes());
        with_format(weight.dtype(), [&]<class Format>(Format) { detail::fill<Format>(memory, weight.size(), value); });
        weight.attach(memory);
        if constexpr (OpsT::keeps_copies && W::use == WeightUse::matrix) ops.bind(weight.view(), weight.dtype(), memory);
      },
      model);
}

}  // namespace tessera

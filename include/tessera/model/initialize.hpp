#pragma once
/// Fresh weights for a model that no file fills.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tessera/core/params.hpp"
#include "tessera/core/weight_store.hpp"
#include "tessera/format/float_formats.hpp"
#include "tessera/model/normal.hpp"

namespace tessera {

namespace detail {

template <class Format, class NextValue>
void fill(std::byte* memory, std::size_t count, NextValue&& next) {
  auto* values = reinterpret_cast<typename Format::storage*>(memory);
  for (std::size_t i = 0; i < count; ++i) values[i] = Format::encode(next());
}

/// A head that its config ties to the table of embeddings becomes one weight with it.
template <class Model, class OpsT>
void tie_head(Model& model, OpsT& ops) {
  if constexpr (requires { model.language; }) {
    tie_head(model.language, ops);
  } else if constexpr (requires { model.tie_head(); }) {
    const WeightView head = model.tie_head();
    if constexpr (OpsT::keeps_copies) {
      if (head) ops.bind(head, head.dtype, head.data);
    }
  }
}

}  // namespace detail

/// Gives every parameter memory and a value: vectors that are called `bias` 0, those called `weight` (gains of norms)
/// 1, everything else normal with the deviation that `deviation(columns)` says. Ties heads that the config ties. Binds
/// matrices to an Ops that keeps copies.
template <class Model, class OpsT, class Deviation>
void initialize(Model& model, OpsT& ops, WeightStore& store, std::uint64_t seed, Deviation&& deviation) {
  SplitMix64 random(seed);
  for_each_param(
      [&]<class W>(std::string_view name, W& weight) {
        const bool is_vector = W::use == WeightUse::vector;
        const auto value = [&] {
          if (is_vector && name.ends_with("bias")) return 0.0f;
          if (is_vector && name.ends_with("weight")) return 1.0f;
          return deviation(weight.cols()) * static_cast<float>(normal(random));
        };
        std::byte* memory = store.allocate(weight.bytes());
        with_format(weight.dtype(), [&]<class Format>(Format) { detail::fill<Format>(memory, weight.size(), value); });
        weight.attach(memory);
        if constexpr (OpsT::keeps_copies && W::use == WeightUse::matrix)
          ops.bind(weight.view(), weight.dtype(), memory);
      },
      model);
  detail::tie_head(model, ops);
}

/// The same with deviation 0.02, the `initializer_range` of the families. Small models learn sooner with 1 / √columns.
template <class Model, class OpsT>
void initialize(Model& model, OpsT& ops, WeightStore& store, std::uint64_t seed) {
  initialize(model, ops, store, seed, [](int) { return 0.02f; });
}

}  // namespace tessera

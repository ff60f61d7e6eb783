#pragma once

#include "tessera/layer/concept.hpp"

namespace tessera {

/// Slot 2 of a Vlm: a layer that also says how wide the rows are that it reads, and how many rows come out for the rows
/// that go in.
template <class C>
concept Connector = Layer<C> && requires(const C& connector) {
  { connector.in() } -> std::same_as<int>;
  { connector.tokens(576) } -> std::same_as<int>;
};

}  // namespace tessera

#pragma once

#include "tessera/layer/concept.hpp"

namespace tessera {

/// Slot 3 of a Vlm: `embed` turns ids into rows, `forward` runs rows through the decoder and appends them to a cache,
/// `head` turns hidden rows into logits. `in_width` is the width of a row, `vocab()` the number of logits.
template <class D>
concept LanguageModel = requires(const D& model) {
  { D::in_width } -> std::convertible_to<dim>;
  { model.width() } -> std::same_as<int>;
  { model.vocab() } -> std::same_as<int>;
  {model.template make_cache<float>(16)};
};

}  // namespace tessera

#pragma once

#include "tessera/model/llava.hpp"

namespace tessera::cli {

/// Calls f with the model type that a LLaVA folder is: the same slots but for the connector.
template <class Config, class F>
auto with_llava_type(const Config& config, F&& f) {
  using Deeper = Vlm<ViT<>, MLPProjector<dyn>, Llama<>, splice::AtImageToken>;
  if (config.projector_depth == 1) return f.template operator()<Llava<>>();
  if (config.projector_depth == 2) return f.template operator()<Llava15<>>();
  return f.template operator()<Deeper>();
}

}  // namespace tessera::cli

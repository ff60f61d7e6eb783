#pragma once
/// LLaVA (Liu et al. 2023, "Visual Instruction Tuning") and LLaVA-1.5 (Liu et al. 2024, "Improved Baselines with Visual
/// Instruction Tuning"): a CLIP tower, a projector, LLaMA or Vicuna, spliced at the image token.

#include <utility>

#include "tessera/connect/projector.hpp"
#include "tessera/language/llama.hpp"
#include "tessera/model/splice.hpp"
#include "tessera/model/vlm.hpp"
#include "tessera/vision/vit.hpp"

namespace tessera {

/// What differs between the two papers is one slot. The configs may be run-time ones, which load any published size, or
/// types with `static constexpr` fields (`presets::ClipL14_336`, `presets::Vicuna7B`), which the compiler checks.
template <class VisionConfig = ClipVisionConfig, class TextConfig = LlamaConfig, class Format = any_format>
using Llava =
    Vlm<ViT<VisionConfig, Format>, LinearProjector<ext<&VisionConfig::width>, ext<&TextConfig::width>, Format>,
        Llama<TextConfig, Format>, splice::AtImageToken>;

template <class VisionConfig = ClipVisionConfig, class TextConfig = LlamaConfig, class Format = any_format>
using Llava15 =
    Vlm<ViT<VisionConfig, Format>, MLPProjector<2, Gelu, ext<&VisionConfig::width>, ext<&TextConfig::width>, Format>,
        Llama<TextConfig, Format>, splice::AtImageToken>;

}  // namespace tessera

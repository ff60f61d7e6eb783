#pragma once
/// The published CLIP towers as compile-time configs.

#include "tessera/vision/vit.hpp"

namespace tessera::presets {

/// openai/clip-vit-base-patch32
struct ClipB32 : ClipVisionConfig {
  static constexpr int image_size = 224, patch_size = 32, width = 768, heads = 12, depth = 12, inner = 3072;
  static constexpr float norm_eps = 1e-5f;
  static constexpr Activation act = Activation::quick_gelu;
};

/// openai/clip-vit-base-patch16
struct ClipB16 : ClipB32 {
  static constexpr int patch_size = 16;
};

/// openai/clip-vit-large-patch14
struct ClipL14 : ClipB32 {
  static constexpr int patch_size = 14, width = 1024, heads = 16, depth = 24, inner = 4096;
};

/// openai/clip-vit-large-patch14-336, the tower of LLaVA-1.5
struct ClipL14_336 : ClipL14 {
  static constexpr int image_size = 336;
};

}  // namespace tessera::presets

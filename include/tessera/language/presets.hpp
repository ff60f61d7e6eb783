#pragma once
/// The published LLaMA and Vicuna sizes as compile-time configs.

#include "tessera/language/llama.hpp"

namespace tessera::presets {

/// LLaMA-2 7B, Vicuna 7B v1.5 (v1.1 and v1.3: norm_eps 1e-6 and 2048 positions). The numbers of heads and their width
/// stay those of the file, which may say them or leave them out.
struct Llama7B : LlamaConfig {
  static constexpr int vocab = 32000, width = 4096, inner = 11008, depth = 32, heads = 32;
  static constexpr float norm_eps = 1e-5f;
  static constexpr Activation act = Activation::silu;
  static constexpr bool attention_bias = false, mlp_bias = false, tied_head = false;
  static constexpr int max_positions = 4096;
  static constexpr RopeConfig rope{};
};

/// LLaMA-2 13B, Vicuna 13B v1.5
struct Llama13B : Llama7B {
  static constexpr int width = 5120, inner = 13824, depth = 40, heads = 40;
};

using Vicuna7B = Llama7B;
using Vicuna13B = Llama13B;

}  // namespace tessera::presets

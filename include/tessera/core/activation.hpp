#pragma once
/// The activation functions of the model families.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tessera/core/error.hpp"

namespace tessera {

/// `gelu` is the exact erf form, `gelu_tanh` the tanh approximation, `quick_gelu` is x·sigmoid(1.702 x).
enum class Activation : std::uint8_t { identity, gelu, gelu_tanh, quick_gelu, silu, relu };

/// Reads the names of Hugging Face configs (`hidden_act`). Throws Error for an unknown one.
inline Activation activation_from_name(std::string_view name) {
  if (name == "gelu") return Activation::gelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return Activation::gelu_tanh;
  if (name == "quick_gelu") return Activation::quick_gelu;
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "relu") return Activation::relu;
  fail("unknown activation '", name, "': expected gelu, gelu_new, gelu_pytorch_tanh, quick_gelu, silu or relu");
}

constexpr std::string_view name_of(Activation act) {
  constexpr std::string_view names[] = {"identity", "gelu", "gelu_tanh", "quick_gelu", "silu", "relu"};
  return names[static_cast<std::size_t>(act)];
}

}  // namespace tessera

#pragma once
/// Rotary position embedding (Su et al. 2021) in the half-split layout of Hugging Face weights.

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string_view>
#include <vector>

#include "tessera/core/context.hpp"
#include "tessera/core/error.hpp"

namespace tessera {

enum class RopeKind : std::uint8_t { plain, linear, llama3 };

inline void parse_config_value(std::string_view name, RopeKind& kind) {
  if (name == "default") {
    kind = RopeKind::plain;
  } else if (name == "linear") {
    kind = RopeKind::linear;
  } else if (name == "llama3") {
    kind = RopeKind::llama3;
  } else {
    fail("rope type '", name, "' is not supported: expected default, linear or llama3");
  }
}

/// `rope_theta` and `rope_scaling` (or `rope_parameters`) of a config.
struct RopeConfig {
  float theta = 10000;
  RopeKind kind = RopeKind::plain;
  float factor = 1;
  float low_freq_factor = 1;
  float high_freq_factor = 4;
  int original_max_positions = 8192;

  bool operator==(const RopeConfig&) const = default;

  template <class V, class C>
  static void fields(V&& v, C& c) {
    v("rope_theta", c.theta);
    v("type", c.kind);
    v("rope_type", c.kind);
    v("factor", c.factor);
    v("low_freq_factor", c.low_freq_factor);
    v("high_freq_factor", c.high_freq_factor);
    v("original_max_position_embeddings", c.original_max_positions);
  }
};

/// Rows of cosines and sines, [tokens, head_dim / 2].
template <class S>
struct RotaryTables {
  Mat<const S> cos, sin;
};

class Rotary {
 public:
  /// Frequencies in float32 and in the reference's order of operations (modeling_rope_utils.py), since the angle of a
  /// far position multiplies every rounding.
  Rotary(int head_dim, const RopeConfig& config) {
    check_range("rotary embedding: head dimension", head_dim, 2, 1 << 16);
    if (head_dim % 2 != 0) fail("rotary embedding: head dimension is ", head_dim, ", expected an even number");
    check_range("rotary embedding: rope_theta", config.theta, 1.0f, 1e12f);
    if (config.kind != RopeKind::plain) check_range("rotary embedding: factor", config.factor, 1.0f, 1e6f);
    if (config.kind == RopeKind::llama3) {
      check_range("rotary embedding: low_freq_factor", config.low_freq_factor, 1e-3f, 1e3f);
      check_range("rotary embedding: high_freq_factor", config.high_freq_factor, 1e-3f, 1e3f);
      check_range("rotary embedding: original_max_position_embeddings", config.original_max_positions, 1, 1 << 24);
      if (config.high_freq_factor <= config.low_freq_factor) {
        fail("rotary embedding: high_freq_factor is ", config.high_freq_factor, ", expected more than low_freq_factor ",
             config.low_freq_factor);
      }
    }
    for (int j = 0; j < head_dim; j += 2) {
      const float exponent = static_cast<float>(j) / static_cast<float>(head_dim);
      frequencies_.push_back(scaled(1.0f / std::pow(config.theta, exponent), config));
    }
  }

  /// Tables for the positions first … first + count − 1, in the arena. `direction` −1 undoes the rotation.
  template <class Ctx, class S = typename Ctx::Scalar>
  RotaryTables<S> tables(Ctx& c, int first, int count, int direction = 1) const {
    const int half = static_cast<int>(frequencies_.size());
    const Mat<S> cos = c.arena.template mat<S>(count, half), sin = c.arena.template mat<S>(count, half);
    if (c.arena.counting()) return {cos, sin};
    for (int r = 0; r < count; ++r) {
      for (int j = 0; j < half; ++j) {
        const float angle = static_cast<float>(first + r) * frequencies_[static_cast<std::size_t>(j)];
        cos(r, j) = S(std::cos(angle));
        sin(r, j) = S(direction) * S(std::sin(angle));
      }
    }
    return {cos, sin};
  }

 private:
  /// Long wavelengths are stretched by the factor, short ones kept, those between blended (Llama 3).
  static float scaled(float frequency, const RopeConfig& config) {
    if (config.kind == RopeKind::plain) return frequency;
    if (config.kind == RopeKind::linear) return frequency / config.factor;
    const float length = static_cast<float>(config.original_max_positions);
    const float wavelength = 2 * std::numbers::pi_v<float> / frequency;
    if (wavelength < length / config.high_freq_factor) return frequency;
    if (wavelength > length / config.low_freq_factor) return frequency / config.factor;
    const float smooth =
        (length / wavelength - config.low_freq_factor) / (config.high_freq_factor - config.low_freq_factor);
    return (1 - smooth) * frequency / config.factor + smooth * frequency;
  }

  std::vector<float> frequencies_;
};

}  // namespace tessera

#pragma once
/// The floating-point weight formats. A format is a type: its storage element, its DType and its conversions from and
/// to float. A weight takes one as template argument (`Matrix<bf16, …>`). Block formats (int8, int4) will be further
/// types with a block struct as `storage`.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tessera/core/dtype.hpp"
#include "tessera/core/error.hpp"

namespace tessera {

struct f32 {
  using storage = float;
  static constexpr DType dtype = DType::f32;
  static constexpr float decode(storage v) { return v; }
  static constexpr storage encode(float v) { return v; }
};

/// bfloat16: the upper half of a float. Encoding rounds to nearest even; a NaN stays a (quiet) NaN.
struct bf16 {
  using storage = std::uint16_t;
  static constexpr DType dtype = DType::bf16;
  static constexpr float decode(storage v) { return std::bit_cast<float>(std::uint32_t{v} << 16); }
  static constexpr storage encode(float v) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(v);
    if ((u & 0x7fffffffu) > 0x7f800000u) return static_cast<storage>((u >> 16) | 0x40u);
    return static_cast<storage>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
};

/// IEEE binary16. Encoding rounds to nearest even, overflows to infinity, keeps subnormals and NaN.
struct f16 {
  using storage = std::uint16_t;
  static constexpr DType dtype = DType::f16;
  static constexpr float decode(storage v) {
    const std::uint32_t sign = std::uint32_t{v & 0x8000u} << 16, exponent = (v >> 10) & 0x1fu, mantissa = v & 0x3ffu;
    if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
    if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  static constexpr storage encode(float v) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(v), sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return static_cast<storage>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
    if (magnitude >= 0x477ff000u) return static_cast<storage>(sign | 0x7c00u);  // 65520 and more round to infinity
    if (magnitude < 0x38800000u) {  // subnormal: adding 0.5 leaves the rounded multiple of 2^-24 in the low bits
      const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
      return static_cast<storage>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u));
    }
    const std::uint32_t odd = (magnitude >> 13) & 1u;
    return static_cast<storage>(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13));
  }
};

/// Calls `f` with a value of the format type of a DType: `with_format(type, [&]<class Format>(Format) { … })`. Throws
/// Error if it is not a weight format.
template <class F>
decltype(auto) with_format(DType type, F&& f) {
  switch (type) {
    case DType::f32:
      return f(f32{});
    case DType::bf16:
      return f(bf16{});
    case DType::f16:
      return f(f16{});
    default:
      fail("weights are ", name_of(type), ": expected f32, bf16 or f16");
  }
}

/// Converts `count` numbers. Source and target may be unaligned and must not overlap.
template <class Source, class Target>
void convert_numbers(const void* source, std::size_t count, void* target) {
  if constexpr (Source::dtype == Target::dtype) {
    std::memcpy(target, source, count * sizeof(typename Source::storage));
  } else {
    const auto* in = static_cast<const std::byte*>(source);
    auto* out = static_cast<std::byte*>(target);
    for (std::size_t i = 0; i < count; ++i) {
      typename Source::storage number;
      std::memcpy(&number, in + i * sizeof number, sizeof number);
      const typename Target::storage converted = Target::encode(Source::decode(number));
      std::memcpy(out + i * sizeof converted, &converted, sizeof converted);
    }
  }
}

}  // namespace tessera

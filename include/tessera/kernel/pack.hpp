#pragma once
/// Packs weight matrices for the kernels. Done once when a model is loaded.
///
/// A weight W[n][k] becomes panels of 16 output columns (rows of W); the last panel is filled up with zeros:
///
///     f32, f16   [panel][k][16]
///     bf16       [panel][⌈k/2⌉][16][2]   two k side by side, the last one zero if k is odd
///
/// so that a kernel reads every panel as one ascending stream of whole cache lines. Integer formats will follow the
/// same scheme with more k side by side ([k/4][16][4] for int8) and their scales in an array of their own.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tessera/core/dtype.hpp"
#include "tessera/core/error.hpp"
#include "tessera/format/float_formats.hpp"
#include "tessera/kernel/table.hpp"

namespace tessera {

/// Bytes of one packed panel of k rows.
inline std::size_t packed_panel_bytes(DType format, int k) {
  const std::size_t depth = static_cast<std::size_t>(k);
  switch (format) {
    case DType::f32:
      return depth * panel_columns * sizeof(float);
    case DType::f16:
      return depth * panel_columns * sizeof(f16::storage);
    case DType::bf16:
      return (depth + 1) / 2 * 2 * panel_columns * sizeof(bf16::storage);
    default:
      fail("weights cannot be packed as ", name_of(format), ": expected f32, bf16 or f16");
  }
}

/// Bytes of the packed form of W[n][k]. The buffer must be aligned to 64 bytes.
inline std::size_t packed_bytes(DType format, int n, int k) {
  return static_cast<std::size_t>(panels_of(n)) * packed_panel_bytes(format, k);
}

namespace detail {

/// The element that moves as a whole from a row of W to the packed form: one number, or two bf16.
template <class Format>
using PackedUnit = std::conditional_t<std::is_same_v<Format, f16>, std::uint16_t, std::uint32_t>;

/// Packs the panel that begins with row `row` of W, in blocks that stay in the L1 cache.
template <class Source, class Target>
void pack_panel(const std::byte* source, int n, int k, int row, std::byte* packed) {
  using Unit = PackedUnit<Target>;
  constexpr int numbers_per_unit = sizeof(Unit) / sizeof(typename Target::storage);
  constexpr int block = 64;
  const std::size_t row_bytes = static_cast<std::size_t>(k) * sizeof(typename Source::storage);
  const int rows = std::min(panel_columns, n - row);
  typename Target::storage numbers[panel_columns][block] = {};
  for (int k_begin = 0; k_begin < k; k_begin += block) {
    const int count = std::min(block, k - k_begin);
    for (int r = 0; r < rows; ++r) {
      const std::size_t offset = static_cast<std::size_t>(k_begin) * sizeof(typename Source::storage);
      convert_numbers<Source, Target>(source + static_cast<std::size_t>(row + r) * row_bytes + offset,
                                      static_cast<std::size_t>(count), numbers[r]);
      if (count % numbers_per_unit != 0) numbers[r][count] = 0;
    }
    const int units = (count + numbers_per_unit - 1) / numbers_per_unit;
    for (int u = 0; u < units; ++u)
      for (int r = 0; r < panel_columns; ++r, packed += sizeof(Unit))
        std::memcpy(packed, &numbers[r][u * numbers_per_unit], sizeof(Unit));
  }
}

}  // namespace detail

/// Packs the panels [panel_begin, panel_end) of W[n][k] into `packed`, the buffer of the whole weight. `source` holds
/// numbers of `source_type` and may be unaligned (a mapped file). Both types are f32, bf16 or f16; else throws Error.
inline void pack_weight(DType format, DType source_type, const void* source, int n, int k, void* packed,
                        int panel_begin, int panel_end) {
  const std::size_t panel_bytes = packed_panel_bytes(format, k);
  with_format(source_type, [&]<class Source>(Source) {
    with_format(format, [&]<class Target>(Target) {
      for (int panel = panel_begin; panel < panel_end; ++panel)
        detail::pack_panel<Source, Target>(
            static_cast<const std::byte*>(source), n, k, panel * panel_columns,
            static_cast<std::byte*>(packed) + static_cast<std::size_t>(panel) * panel_bytes);
    });
  });
}

}  // namespace tessera

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

// Vectors of 16 bytes, as the compilers provide them on every architecture.
typedef std::uint32_t Words4 __attribute__((vector_size(16)));
typedef std::uint16_t Halves8 __attribute__((vector_size(16)));

/// columns[i][j] = word i of row j, for four rows of four words that lie `stride` bytes apart.
inline void transpose_words(const void* rows, std::size_t stride, Words4 (&columns)[4]) {
  Words4 row[4];
  for (std::size_t i = 0; i < 4; ++i) std::memcpy(&row[i], static_cast<const std::byte*>(rows) + i * stride, 16);
  const Words4 low01 = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5),
               low23 = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5),
               high01 = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7),
               high23 = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
  columns[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
  columns[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
  columns[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
  columns[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
}

/// Packs the panel that begins with row `row` of W, in blocks that stay in the L1 cache. What moves as a whole is a
/// word of 32 bits: one number of 32 bits, or two of 16.
template <class Source, class Target>
void pack_panel(const std::byte* source, int n, int k, int row, std::byte* packed) {
  constexpr int numbers_per_word = sizeof(std::uint32_t) / sizeof(typename Target::storage);
  constexpr int block = 256;
  const std::size_t row_bytes = static_cast<std::size_t>(k) * sizeof(typename Source::storage);
  const int rows = std::min(panel_columns, n - row);
  typename Target::storage numbers[panel_columns][block] = {};
  const auto append = [&](const void* line, std::size_t bytes) {
    std::memcpy(packed, line, bytes);
    packed += bytes;
  };
  for (int k_begin = 0; k_begin < k; k_begin += block) {
    const int count = std::min(block, k - k_begin);
    for (int r = 0; r < rows; ++r) {
      const std::size_t offset = static_cast<std::size_t>(k_begin) * sizeof(typename Source::storage);
      convert_numbers<Source, Target>(source + static_cast<std::size_t>(row + r) * row_bytes + offset,
                                      static_cast<std::size_t>(count), numbers[r]);
      if (count % numbers_per_word != 0) numbers[r][count] = 0;
    }
    for (int first = 0; first < count; first += 4 * numbers_per_word) {
      Words4 words[4][4];  // [four rows][word][row]
      for (int quad = 0; quad < 4; ++quad) transpose_words(&numbers[4 * quad][first], sizeof numbers[0], words[quad]);
      for (int i = 0; i < 4 && first + i * numbers_per_word < count; ++i) {
        const Words4 line[4] = {words[0][i], words[1][i], words[2][i], words[3][i]};
        if constexpr (std::is_same_v<Target, f16>) {
          Halves8 pairs[4], even[2], odd[2];
          std::memcpy(pairs, line, sizeof line);
          for (int j = 0; j < 2; ++j) {
            even[j] = __builtin_shufflevector(pairs[2 * j], pairs[2 * j + 1], 0, 2, 4, 6, 8, 10, 12, 14);
            odd[j] = __builtin_shufflevector(pairs[2 * j], pairs[2 * j + 1], 1, 3, 5, 7, 9, 11, 13, 15);
          }
          append(even, sizeof even);
          if (first + 2 * i + 1 < count) append(odd, sizeof odd);
        } else {
          append(line, sizeof line);
        }
      }
    }
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

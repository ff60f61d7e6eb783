// Body of a target region: matrix multiplication with packed weights.
//
// A tile multiplies up to tile_rows rows of x, read in place, with a few panels of weights; its sums stay in registers.
// Around it go blocks of block_panels panels and 1024 k, whose weights stay in the L2 cache while all rows pass by, and
// around these groups of columns, which use a slice of 1024 k of x one after the other.
namespace tessera {
inline namespace TESSERA_COMMAND_LINE_ISA {
namespace kernel::TESSERA_TARGET {

// How tiles read the weights: `depth` rows of k lie side by side in `bytes` bytes; load<rows>(p, part) widens one of
// them for a tile of `rows` rows. A single row waits for the memory. Where widening takes so many instructions that the
// loads alone do not reach far enough ahead, it prefetches what lies `row_prefetch` bytes ahead.
struct PackedF32 {
  static constexpr int depth = 1, bytes = 64, row_prefetch = 0;
  template <int /*rows*/>
  TESSERA_INLINE static V16 load(const std::byte* p, int /*part*/) {
    return kernel::TESSERA_TARGET::load(reinterpret_cast<const float*>(p));
  }
};
struct PackedF16 {
  static constexpr int depth = 1, bytes = 32, row_prefetch = 384;
  template <int /*rows*/>
  TESSERA_INLINE static V16 load(const std::byte* p, int /*part*/) {
    return load_f16(p);
  }
};
struct PackedBf16 {
  static constexpr int depth = 2, bytes = 64, row_prefetch = 384;
  template <int rows>
  TESSERA_INLINE static V16 load(const std::byte* p, int part) {
    return part == 0 ? load_bf16_even(p) : load_bf16_odd<(rows < tile_rows)>(p);
  }
};

/// sums[rows][panels · 16] = x[rows][k] · (`panels` panels, panel_bytes apart)ᵀ, or += if `accumulate`.
template <class Format, int rows, int panels>
TESSERA_NOINLINE void multiply_tile(const float* x, std::ptrdiff_t x_stride, const std::byte* weight,
                                    std::ptrdiff_t panel_bytes, int k, bool accumulate, float* sums,
                                    std::ptrdiff_t sums_stride) {
  V16 sum[rows][panels];
  TESSERA_UNROLL for (int i = 0; i < rows; ++i) { TESSERA_UNROLL for (int j = 0; j < panels; ++j) sum[i][j] = zero(); }
  const auto add_products = [&](int part) {
    V16 w[panels];
    TESSERA_UNROLL for (int j = 0; j < panels; ++j) w[j] = Format::template load<rows>(weight + j * panel_bytes, part);
    TESSERA_UNROLL for (int i = 0; i < rows; ++i) {
      const V16 a = broadcast(x[i * x_stride + part]);
      TESSERA_UNROLL for (int j = 0; j < panels; ++j) sum[i][j] = multiply_add(a, w[j], sum[i][j]);
    }
  };
  for (int left = k / Format::depth; left > 0; --left) {
    if constexpr (rows == 1 && Format::row_prefetch > 0) {
      TESSERA_UNROLL for (int j = 0; j < panels; ++j)
          __builtin_prefetch(weight + j * panel_bytes + Format::row_prefetch);
    }
    add_products(0);
    if constexpr (Format::depth == 2) {
      asm("" : "+r"(weight));  // load again: keeping the first words in registers would spill sums
      add_products(1);
    }
    weight += Format::bytes;
    x += Format::depth;
  }
  if (k % Format::depth != 0) add_products(0);
  const auto for_each_sum = [&](auto&& finish) {
    TESSERA_UNROLL for (int i = 0; i < rows; ++i) {
      TESSERA_UNROLL for (int j = 0; j < panels; ++j) finish(sum[i][j], sums + i * sums_stride + j * panel_columns);
    }
  };
  if (accumulate) for_each_sum([](V16& value, const float* p) { value = load(p) + value; });
  for_each_sum([](const V16& value, float* p) { store(p, value); });
}

using Tile = void (*)(const float*, std::ptrdiff_t, const std::byte*, std::ptrdiff_t, int, bool, float*,
                      std::ptrdiff_t);

/// The tiles for some number of rows: of one panel, and of tile_panels(rows) panels.
struct TilePair {
  Tile narrow, wide;
};

template <class Format, int highest = tile_rows>
TilePair find_tiles(int rows) {
  if constexpr (highest > 1) {
    if (rows < highest) return find_tiles<Format, highest - 1>(rows);
  }
  return {multiply_tile<Format, highest, 1>, multiply_tile<Format, highest, tile_panels(highest)>};
}

inline TilePair find_tiles(DType format, int rows) {
  if (format == DType::bf16) return find_tiles<PackedBf16>(rows);
  if (format == DType::f16) return find_tiles<PackedF16>(rows);
  return find_tiles<PackedF32>(rows);
}

/// Rows of a product, split into the fewest strips of at most tile_rows, as equal as possible: 7 = 4 + 3, not 6 + 1.
struct Strips {
  int rows;
  int count() const { return (rows + tile_rows - 1) / tile_rows; }
  int begin(int strip) const { return static_cast<int>(static_cast<std::int64_t>(rows) * strip / count()); }
};

/// sums[rows][panels · 16] = x[rows][k] · (any number of panels)ᵀ for one strip of rows.
inline void multiply_strip(DType format, int rows, const float* x, std::ptrdiff_t x_stride, const std::byte* weight,
                           std::ptrdiff_t panel_bytes, int panels, int k, bool accumulate, float* sums,
                           std::ptrdiff_t sums_stride) {
  const TilePair tiles = find_tiles(format, rows);
  const int wide = tile_panels(rows);
  int panel = 0;
  for (; panel + wide <= panels; panel += wide)
    tiles.wide(x, x_stride, weight + panel * panel_bytes, panel_bytes, k, accumulate, sums + panel * panel_columns,
               sums_stride);
  for (; panel < panels; ++panel)
    tiles.narrow(x, x_stride, weight + panel * panel_bytes, panel_bytes, k, accumulate, sums + panel * panel_columns,
                 sums_stride);
}

/// A matrix M[k][columns] of floats in panels of 16 columns: [panel][k][16].
struct Panels {
  const float* data;
  std::ptrdiff_t panel_floats;
  int columns;
};

/// Calls multiply_group(row, rows, panel, panels) for every strip of rows and group of at most 3 panels. All strips
/// take their turn at a group while it is in the L1 cache.
template <class Multiply>
TESSERA_INLINE void for_each_strip(int row_count, int panel_count, Multiply multiply_group) {
  constexpr int group = 3;
  const Strips strips{row_count};
  for (int panel = 0; panel < panel_count; panel += group)
    for (int strip = 0; strip < strips.count(); ++strip)
      multiply_group(strips.begin(strip), strips.begin(strip + 1) - strips.begin(strip), panel,
                     std::min(group, panel_count - panel));
}

/// y[rows][columns] = x[rows][k] · M, or += if `accumulate`, with whole panels of y.
inline void multiply_panels(const float* x, std::ptrdiff_t x_stride, int rows, int k, const Panels& m, bool accumulate,
                            float* y, std::ptrdiff_t y_stride) {
  for_each_strip(rows, panels_of(m.columns), [&](int row, int strip_rows, int panel, int panels) {
    multiply_strip(DType::f32, strip_rows, x + row * x_stride, x_stride,
                   reinterpret_cast<const std::byte*>(m.data + panel * m.panel_floats),
                   m.panel_floats * static_cast<std::ptrdiff_t>(sizeof(float)), panels, k, accumulate,
                   y + row * y_stride + panel * panel_columns, y_stride);
  });
}

inline void add_bias(const float* bias, int columns, float* sums) {
  for (int i = 0; i < columns; i += panel_columns) store(sums + i, load(sums + i) + load_first(bias + i, columns - i));
}

/// Turns the sums of a strip of rows into y: bias, activation, gate, residual. Overwrites the sums.
inline void finish_strip(const GemmArgs& args, int row, int rows, int panel, int panels, float* sums, int sums_stride) {
  const int column = panel * panel_columns, columns = std::min(panels * panel_columns, args.n - column);
  const bool gated = args.gate_weight != nullptr;
  for (int i = row; i < row + rows; ++i, sums += sums_stride) {
    float* const gate = sums + sums_stride / 2;
    if (args.bias != nullptr) add_bias(args.bias + column, columns, sums);
    if (gated && args.gate_bias != nullptr) add_bias(args.gate_bias + column, columns, gate);
    float* const activated = gated ? gate : sums;
    if (args.activation != Activation::identity) activate_row(args.activation, activated, columns, activated);
    const float* residual = args.residual == nullptr ? nullptr : args.residual + i * args.residual_stride + column;
    fill_row(columns, args.y + i * args.y_stride + column, [&](int j, int lanes) {
      const V16 linear = load(sums + j);
      if (residual == nullptr) return gated ? load(gate + j) * linear : linear;
      // An explicit multiply_add, because compilers differ in whether they fuse a product and a sum.
      const V16 addend = load_first(residual + j, lanes);
      return gated ? multiply_add(load(gate + j), linear, addend) : linear + addend;
    });
  }
}

/// Fetches the lines of y that finish_strip() is going to write, while the strip is multiplied.
inline void prefetch_strip(const GemmArgs& args, int row, int rows, int panel, int panels) {
  for (int i = row; i < row + rows; ++i)
    for (int j = panel; j < panel + panels; ++j) __builtin_prefetch(args.y + i * args.y_stride + j * panel_columns, 1);
}

inline void gemm(const GemmArgs& args) {
  const Strips strips{args.row_end - args.row_begin};
  const bool gated = args.gate_weight != nullptr, blocked = args.k > gemm_block_k;
  const std::ptrdiff_t panel_bytes = static_cast<std::ptrdiff_t>(packed_panel_bytes(args.format, args.k));
  constexpr int strip_columns = 6 * panel_columns;  // also with a gate there is room for a tile of one row
  alignas(64) float strip_sums[tile_rows * strip_columns];
  const int sums_stride = blocked ? gemm_group_columns : strip_columns;
  const int held_panels = sums_stride / panel_columns / (gated ? 2 : 1);
  // With one strip nothing in the cache is used twice: take the columns of one tile, to read each panel in one go.
  const bool one_strip = strips.count() == 1;
  const int block = std::min(held_panels, one_strip ? tile_panels(strips.rows) : block_panels / (gated ? 2 : 1));
  const int group = one_strip ? block : held_panels;

  for (int group_begin = args.panel_begin; group_begin < args.panel_end; group_begin += group) {
    const int group_end = std::min(group_begin + group, args.panel_end);
    for (int k_begin = 0; k_begin < args.k; k_begin += gemm_block_k) {
      const int k = std::min(gemm_block_k, args.k - k_begin);
      const bool is_last = k_begin + k == args.k;
      for (int panel = group_begin; panel < group_end; panel += block) {
        const int panels = std::min(block, group_end - panel);
        const std::ptrdiff_t weight_offset =
            panel * panel_bytes + static_cast<std::ptrdiff_t>(packed_panel_bytes(args.format, k_begin));
        for (int strip = 0; strip < strips.count(); ++strip) {
          const int begin = strips.begin(strip), rows = strips.begin(strip + 1) - begin, row = args.row_begin + begin;
          float* const sums =
              blocked ? args.scratch + std::ptrdiff_t{begin} * sums_stride + (panel - group_begin) * panel_columns
                      : strip_sums;
          const auto multiply = [&](const void* weight, float* result) {
            multiply_strip(args.format, rows, args.x + row * args.x_stride + k_begin, args.x_stride,
                           static_cast<const std::byte*>(weight) + weight_offset, panel_bytes, panels, k, k_begin > 0,
                           result, sums_stride);
          };
          if (is_last) prefetch_strip(args, row, rows, panel, panels);
          multiply(args.weight, sums);
          if (gated) multiply(args.gate_weight, sums + sums_stride / 2);
          if (is_last) finish_strip(args, row, rows, panel, panels, sums, sums_stride);
        }
      }
    }
  }
}

}  // namespace kernel::TESSERA_TARGET
}  // namespace TESSERA_COMMAND_LINE_ISA
}  // namespace tessera

// Body of a target region: matrix multiplication with packed weights.
//
// A tile multiplies up to tile_rows rows of x, read in place, with a few panels of weights; its sums stay in registers.
// Around it go blocks of 96 columns and 1024 k, whose weights stay in the L2 cache while all rows pass by.
namespace tessera {
inline namespace TESSERA_COMMAND_LINE_ISA {
namespace kernel::TESSERA_TARGET {

// How tiles read the weights: `depth` rows of k lie side by side in `bytes` bytes; load(p, part) widens one of them.
struct PackedF32 {
  static constexpr int depth = 1, bytes = 64;
  TESSERA_INLINE static V16 load(const std::byte* p, int /*part*/) {
    return kernel::TESSERA_TARGET::load(reinterpret_cast<const float*>(p));
  }
};
struct PackedF16 {
  static constexpr int depth = 1, bytes = 32;
  TESSERA_INLINE static V16 load(const std::byte* p, int /*part*/) { return load_f16(p); }
};
struct PackedBf16 {
  static constexpr int depth = 2, bytes = 64;
  TESSERA_INLINE static V16 load(const std::byte* p, int part) {
    return part == 0 ? load_bf16_even(p) : load_bf16_odd(p);
  }
};

/// sums[rows][panels · 16] = x[rows][k] · (`panels` panels, panel_bytes apart)ᵀ.
template <class Format, int rows, int panels>
TESSERA_NOINLINE void multiply_tile(const float* x, std::ptrdiff_t x_stride, const std::byte* weight,
                                    std::ptrdiff_t panel_bytes, int k, float* sums, std::ptrdiff_t sums_stride) {
  V16 sum[rows][panels];
  TESSERA_UNROLL for (int i = 0; i < rows; ++i) { TESSERA_UNROLL for (int j = 0; j < panels; ++j) sum[i][j] = zero(); }
  const auto add_products = [&](int part) {
    V16 w[panels];
    TESSERA_UNROLL for (int j = 0; j < panels; ++j) w[j] = Format::load(weight + j * panel_bytes, part);
    TESSERA_UNROLL for (int i = 0; i < rows; ++i) {
      const V16 a = broadcast(x[i * x_stride + part]);
      TESSERA_UNROLL for (int j = 0; j < panels; ++j) sum[i][j] = multiply_add(a, w[j], sum[i][j]);
    }
  };
  for (int left = k / Format::depth; left > 0; --left) {
    add_products(0);
    if constexpr (Format::depth == 2) {
      asm("" : "+r"(weight));  // load again: keeping the first words in registers would spill sums
      add_products(1);
    }
    weight += Format::bytes;
    x += Format::depth;
  }
  if (k % Format::depth != 0) add_products(0);
  TESSERA_UNROLL for (int i = 0; i < rows; ++i) {
    TESSERA_UNROLL for (int j = 0; j < panels; ++j) store(sums + i * sums_stride + j * panel_columns, sum[i][j]);
  }
}

using Tile = void (*)(const float*, std::ptrdiff_t, const std::byte*, std::ptrdiff_t, int, float*, std::ptrdiff_t);

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
                           std::ptrdiff_t panel_bytes, int panels, int k, float* sums, std::ptrdiff_t sums_stride) {
  const TilePair tiles = find_tiles(format, rows);
  const int wide = tile_panels(rows);
  int panel = 0;
  for (; panel + wide <= panels; panel += wide)
    tiles.wide(x, x_stride, weight + panel * panel_bytes, panel_bytes, k, sums + panel * panel_columns, sums_stride);
  for (; panel < panels; ++panel)
    tiles.narrow(x, x_stride, weight + panel * panel_bytes, panel_bytes, k, sums + panel * panel_columns, sums_stride);
}

inline constexpr int sums_stride = gemm_block_columns;
inline constexpr int gate_offset = gemm_block_columns / 2;  ///< the gate's sums follow those of at most 3 panels

/// sum += other, of rows of sums.
inline void add_sums(const float* other, int rows, float* sums) {
  for (int i = 0; i < rows * sums_stride; i += panel_columns) store(sums + i, load(sums + i) + load(other + i));
}

inline void add_bias(const float* bias, int columns, float* sums) {
  for (int i = 0; i < columns; i += panel_columns) store(sums + i, load(sums + i) + load_first(bias + i, columns - i));
}

/// Turns the sums of a strip of rows into y: bias, activation, gate, residual. Overwrites the sums.
inline void finish_strip(const GemmArgs& args, int row, int rows, int panel, int panels, float* sums) {
  const int column = panel * panel_columns, columns = std::min(panels * panel_columns, args.n - column);
  const bool gated = args.gate_weight != nullptr;
  for (int i = row; i < row + rows; ++i, sums += sums_stride) {
    float* const gate = sums + gate_offset;
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

inline void gemm(const GemmArgs& args) {
  const Strips strips{args.row_end - args.row_begin};
  const bool gated = args.gate_weight != nullptr;
  // With one strip nothing in the cache is used twice: take the columns of one tile, to read each panel in one go.
  const int cached_panels = gemm_block_columns / panel_columns / (gated ? 2 : 1);
  const int block_panels = strips.count() == 1 ? std::min(tile_panels(strips.rows), cached_panels) : cached_panels;
  const std::ptrdiff_t panel_bytes = static_cast<std::ptrdiff_t>(packed_panel_bytes(args.format, args.k));
  alignas(64) float sums[tile_rows * sums_stride];

  for (int panel = args.panel_begin; panel < args.panel_end; panel += block_panels) {
    const int panels = std::min(block_panels, args.panel_end - panel);
    for (int k_begin = 0; k_begin < args.k; k_begin += gemm_block_k) {
      const int k = std::min(gemm_block_k, args.k - k_begin);
      const bool is_first = k_begin == 0, is_last = k_begin + k == args.k;
      const std::ptrdiff_t weight_offset =
          panel * panel_bytes + static_cast<std::ptrdiff_t>(packed_panel_bytes(args.format, k_begin));
      for (int strip = 0; strip < strips.count(); ++strip) {
        const int begin = strips.begin(strip), rows = strips.begin(strip + 1) - begin, row = args.row_begin + begin;
        const float* x = args.x + row * args.x_stride + k_begin;
        float* const partial = args.k > gemm_block_k ? args.scratch + begin * sums_stride : sums;
        float* const target = is_first ? partial : sums;
        const auto multiply = [&](const void* weight, float* result) {
          multiply_strip(args.format, rows, x, args.x_stride, static_cast<const std::byte*>(weight) + weight_offset,
                         panel_bytes, panels, k, result, sums_stride);
        };
        multiply(args.weight, target);
        if (gated) multiply(args.gate_weight, target + gate_offset);
        if (!is_first) add_sums(is_last ? partial : sums, rows, is_last ? sums : partial);
        if (is_last) finish_strip(args, row, rows, panel, panels, sums);
      }
    }
  }
}

}  // namespace kernel::TESSERA_TARGET
}  // namespace TESSERA_COMMAND_LINE_ISA
}  // namespace tessera

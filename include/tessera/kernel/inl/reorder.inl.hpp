// Body of a target region: operands of the products of training, brought into the order that gemm reads.
namespace tessera {
inline namespace TESSERA_COMMAND_LINE_ISA {
namespace kernel::TESSERA_TARGET {

/// The first `count` (1 … 16) numbers at p as floats, zeros behind them.
template <class Source>
TESSERA_INLINE V16 load_widened(const std::byte* p, int count) {
  if constexpr (Source::dtype == DType::f32) {
    return load_first(reinterpret_cast<const float*>(p), count);
  } else {
    std::uint16_t halves[16] = {};
    if (count < 16) {
      std::memcpy(halves, p, static_cast<std::size_t>(count) * sizeof *halves);
      p = reinterpret_cast<const std::byte*>(halves);
    }
    return Source::dtype == DType::bf16 ? load_bf16(p) : load_f16(p);
  }
}

/// A block of rows gives its part of every panel before the next, so that few memory pages are in use at a time.
template <class Source>
void pack_columns_of(const PackColumnsArgs& args) {
  constexpr int block_rows = 64;
  for (int block = 0; block < args.k; block += block_rows)
    for (int panel = args.panel_begin; panel < args.panel_end; ++panel) {
      const int column = panel * panel_columns, count = args.n - column;
      const auto* source = static_cast<const std::byte*>(args.source) + column * sizeof(typename Source::storage);
      float* packed = args.packed + std::ptrdiff_t{args.k} * column;
      for (int row = block; row < std::min(block + block_rows, args.k); ++row) {
        const std::ptrdiff_t row_bytes =
            args.source_stride * static_cast<std::ptrdiff_t>(sizeof(typename Source::storage));
        store(packed + row * panel_columns, load_widened<Source>(source + row * row_bytes, count));
      }
    }
}

inline void pack_columns(const PackColumnsArgs& args) {
  if (args.source_type == DType::bf16) return pack_columns_of<bf16>(args);
  if (args.source_type == DType::f16) return pack_columns_of<f16>(args);
  pack_columns_of<f32>(args);
}

inline void transpose(const TransposeArgs& args) {
  int row = 0;
  for (; row + 16 <= args.rows; row += 16)
    transpose_panel(args.x + row * args.x_stride, args.x_stride, args.columns, args.y + row, args.y_stride);
  for (int column = 0; column < args.columns; ++column)
    for (int i = row; i < args.rows; ++i) args.y[column * args.y_stride + i] = args.x[i * args.x_stride + column];
}

}  // namespace kernel::TESSERA_TARGET
}  // namespace TESSERA_COMMAND_LINE_ISA
}  // namespace tessera

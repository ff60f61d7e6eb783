// Body of a target region: gradient of softmax attention. A block of query rows is one column block of the transposed
// scores [keys][queries], so that keys and values are read in place, sums over keys run in vectors of 16 queries, and
// the probabilities are at once the left operand of dV = Pᵀ · dY:
//
//     P = softmax(scale · Q · Kᵀ),  dP = dY · Vᵀ,  dS = scale · P ∘ (dP - rowsum(P ∘ dP)),
//     dV += Pᵀ · dY,  dK += dSᵀ · Q,  dQ += dS · K.
namespace tessera {
inline namespace TESSERA_COMMAND_LINE_ISA {
namespace kernel::TESSERA_TARGET {

/// y[rows][columns] += x[rows][k] · M, in blocks of gemm_block_k.
inline void add_product(const float* x, std::ptrdiff_t x_stride, int rows, int k, const Panels& m, float* y,
                        std::ptrdiff_t y_stride) {
  alignas(64) float sums[tile_rows * 3 * panel_columns];
  for (int k_begin = 0; k_begin < k; k_begin += gemm_block_k)
    for_each_strip(rows, panels_of(m.columns), [&](int row, int strip_rows, int panel, int panels) {
      const int column = panel * panel_columns, width = panels * panel_columns;
      const bool is_whole = column + width <= m.columns;
      float* const target = y + row * y_stride + column;
      multiply_strip(DType::f32, strip_rows, x + row * x_stride + k_begin, x_stride,
                     reinterpret_cast<const std::byte*>(m.data + panel * m.panel_floats + k_begin * panel_columns),
                     m.panel_floats * static_cast<std::ptrdiff_t>(sizeof(float)), panels,
                     std::min(gemm_block_k, k - k_begin), is_whole, is_whole ? target : sums,
                     is_whole ? y_stride : width);
      for (int i = 0; i < strip_rows && !is_whole; ++i)
        add(target + i * y_stride, sums + i * width, m.columns - column, target + i * y_stride);
    });
}

/// Rows [0, count) of a head packed in both ways: as keys, for products with the head's channels as k, and as values,
/// for those that sum over the rows.
struct PackedRows {
  Panels as_keys, as_values;
  /// Takes its memory from `scratch`.
  PackedRows(const float* source, std::ptrdiff_t stride, int head_dim, int count, float*& scratch) {
    constexpr int capacity = attention_backward_block_rows;
    PackHeadArgs args{.source = source,
                      .source_stride = stride,
                      .head_dim = head_dim,
                      .key_end = count,
                      .capacity = capacity,
                      .packed = scratch};
    as_keys = {args.packed, std::ptrdiff_t{head_dim} * panel_columns, count};
    pack_keys(args);
    args.packed += packed_keys_floats(head_dim, capacity);
    as_values = {args.packed, std::ptrdiff_t{capacity} * panel_columns, head_dim};
    pack_values(args);
    scratch = args.packed + packed_values_floats(head_dim, capacity);
  }
};

/// For 16 queries, whose scores and dP are columns of rows `stride` apart: turns scores into P and dP into dS. Lane i
/// sees the keys 0 … first_visible + i - 1.
inline void softmax_backward_columns(float* scores, float* gradients, std::ptrdiff_t stride, int keys,
                                     int first_visible, float scale) {
  const V16 lowest = broadcast(-std::numeric_limits<float>::infinity());
  for (int key = first_visible; key < keys; ++key) {
    const int hidden = std::min(16, key - first_visible + 1);
    float *score = scores + key * stride, *gradient = gradients + key * stride;
    store(score, first_or(lowest, hidden, load(score)));
    store(gradient, first_or(zero(), hidden, load(gradient)));
  }
  V16 highest = lowest;
  for (int key = 0; key < keys; ++key) highest = max(highest, load(scores + key * stride));

  const V16 factor = broadcast(scale * log2_e), offset = highest * broadcast(-scale * log2_e);
  V16 total = zero(), correlation = zero();
  for (int key = 0; key < keys; ++key) {
    const V16 power = exp2_of_nonpositive(multiply_add(load(scores + key * stride), factor, offset));
    store(scores + key * stride, power);
    total = total + power;
    correlation = multiply_add(power, load(gradients + key * stride), correlation);
  }
  const V16 inverse = broadcast(1.0f) / total, mean = rounded(correlation * inverse);
  for (int key = 0; key < keys; ++key) {
    const V16 probability = load(scores + key * stride) * inverse;
    store(scores + key * stride, probability);
    store(gradients + key * stride, probability * broadcast(scale) * (load(gradients + key * stride) - mean));
  }
}

inline void attend_backward(const AttentionBackwardArgs& args) {
  constexpr int block_rows = attention_backward_block_rows;
  const std::ptrdiff_t score_stride = attention_backward_score_stride(args.key_count);
  float* scratch = args.scratch;
  const auto take = [&](std::size_t floats) { return std::exchange(scratch, scratch + floats); };
  float* const scores = take(static_cast<std::size_t>(block_rows * score_stride));
  float* const gradients = take(static_cast<std::size_t>(block_rows * score_stride));
  float* const packed_k = take(packed_values_floats(args.head_dim, args.key_count));
  pack_values({.source = args.k,
               .source_stride = args.k_stride,
               .head_dim = args.head_dim,
               .key_end = args.key_count,
               .capacity = args.key_count,
               .packed = packed_k});
  const Panels k_panels{packed_k, std::ptrdiff_t{args.key_count} * panel_columns, args.head_dim};

  for (int block = 0; block < args.queries; block += block_rows) {
    const int rows = std::min(block_rows, args.queries - block);
    const int first_visible = args.causal ? args.key_count - args.queries + block + 1 : args.key_count;
    const int keys = args.causal ? first_visible + rows - 1 : args.key_count;
    float* block_scratch = scratch;
    const PackedRows q(args.q + block * args.q_stride, args.q_stride, args.head_dim, rows, block_scratch);
    const PackedRows dy(args.dy + block * args.dy_stride, args.dy_stride, args.head_dim, rows, block_scratch);

    multiply_panels(args.k, args.k_stride, keys, args.head_dim, q.as_keys, false, scores, block_rows);
    multiply_panels(args.v, args.v_stride, keys, args.head_dim, dy.as_keys, false, gradients, block_rows);
    for (int i = 0; i < rows; i += 16)
      softmax_backward_columns(scores + i, gradients + i, block_rows, keys, args.causal ? first_visible + i : keys,
                               args.scale);
    add_product(scores, block_rows, keys, rows, dy.as_values, args.dv, args.dv_stride);
    add_product(gradients, block_rows, keys, rows, q.as_values, args.dk, args.dk_stride);
    transpose(
        {.x = gradients, .x_stride = block_rows, .rows = keys, .columns = rows, .y = scores, .y_stride = score_stride});
    add_product(scores, score_stride, rows, keys, k_panels, args.dq + block * args.dq_stride, args.dq_stride);
  }
}

}  // namespace kernel::TESSERA_TARGET
}  // namespace TESSERA_COMMAND_LINE_ISA
}  // namespace tessera

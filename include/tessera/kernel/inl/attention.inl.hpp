// Body of a target region: exact softmax attention. A block of query rows keeps its whole score rows, so nothing is
// rescaled; the products run on the tiles of the GEMM.
namespace tessera {
inline namespace TESSERA_COMMAND_LINE_ISA {
namespace kernel::TESSERA_TARGET {

/// y[columns][16] = x[16][columns]ᵀ.
inline void transpose_panel(const float* x, std::ptrdiff_t x_stride, int columns, float* y, std::ptrdiff_t y_stride) {
  int column = 0;
  for (; column + 4 <= columns; column += 4) {
    V16 rows[4];  // row i of the quads: rows i, i + 4, i + 8, i + 12 of x
    TESSERA_UNROLL for (int i = 0; i < 4; ++i) rows[i] = load_quads(x + i * x_stride + column, 4 * x_stride);
    transpose_quads(rows);
    TESSERA_UNROLL for (int i = 0; i < 4; ++i) store(y + (column + i) * y_stride, rows[i]);
  }
  for (; column < columns; ++column)
    for (int i = 0; i < panel_columns; ++i) y[column * y_stride + i] = x[i * x_stride + column];
}

inline void pack_keys(const PackHeadArgs& args) {
  for (int begin = args.key_begin; begin < args.key_end;) {
    const int first_lane = begin % panel_columns;
    const int keys = std::min(panel_columns - first_lane, args.key_end - begin);
    const float* source = args.source + begin * args.source_stride;
    float* packed = args.packed + static_cast<std::ptrdiff_t>(begin - first_lane) * args.head_dim + first_lane;
    if (keys == panel_columns) {
      transpose_panel(source, args.source_stride, args.head_dim, packed, panel_columns);
    } else {
      for (int key = 0; key < keys; ++key)
        for (int d = 0; d < args.head_dim; ++d) packed[d * panel_columns + key] = source[key * args.source_stride + d];
    }
    begin += keys;
  }
}

inline void pack_values(const PackHeadArgs& args) {
  for (int key = args.key_begin; key < args.key_end; ++key)
    for (int channel = 0; channel < args.head_dim; channel += panel_columns)
      store(args.packed + channel * std::ptrdiff_t{args.capacity} + key * panel_columns,
            load_first(args.source + key * args.source_stride + channel, args.head_dim - channel));
}

/// The maximum of scores[0, count), count > 0.
TESSERA_INLINE float max_of_row(const float* scores, int count) {
  const V16 lowest = broadcast(-std::numeric_limits<float>::infinity());
  V16 highest[2] = {lowest, lowest};
  int i = 0;
  for (; i + 32 <= count; i += 32) {
    highest[0] = max(highest[0], load(scores + i));
    highest[1] = max(highest[1], load(scores + i + 16));
  }
  for (; i < count; i += 16) {
    const int lanes = std::min(count - i, 16);
    highest[0] = max(highest[0], first_or(load_first(scores + i, lanes), lanes, lowest));
  }
  return reduce_max(max(highest[0], highest[1]));
}

/// result[i] = 2^(scale · (scores[i] - highest)) for i < count; returns their sum.
TESSERA_INLINE float exp2_of_row(const float* scores, int count, float scale, float highest, float* result) {
  const V16 factor = broadcast(scale), offset = broadcast(-scale * highest);
  const auto power = [&](V16 score) { return exp2_of_nonpositive(multiply_add(score, factor, offset)); };
  V16 sum[2] = {zero(), zero()};
  int i = 0;
  for (; i + 32 <= count; i += 32) {
    TESSERA_UNROLL for (int j = 0; j < 2; ++j) {
      const V16 p = power(load(scores + i + 16 * j));
      store(result + i + 16 * j, p);
      sum[j] = sum[j] + p;
    }
  }
  for (; i < count; i += 16) {
    const int lanes = std::min(count - i, 16);
    const V16 p = first_or(power(load_first(scores + i, lanes)), lanes, zero());
    store_first(result + i, p, lanes);
    sum[0] = sum[0] + p;
  }
  return reduce_add(sum[0] + sum[1]);
}

inline void attend(const AttentionArgs& args) {
  const std::ptrdiff_t score_stride = attention_score_stride(args.key_count);
  const std::ptrdiff_t output_stride = std::ptrdiff_t{panels_of(args.head_dim)} * panel_columns;
  float* const scores = args.scratch;
  float* const outputs = scores + attention_block_rows * score_stride;
  const auto visible_keys = [&](int query) {
    return args.causal ? args.key_count - args.queries + query + 1 : args.key_count;
  };

  for (int block = args.query_begin; block < args.query_end; block += attention_block_rows) {
    const int rows = std::min(attention_block_rows, args.query_end - block);
    const int block_keys = visible_keys(block + rows - 1);
    const Panels key_panels{args.keys, std::ptrdiff_t{args.head_dim} * panel_columns, block_keys};
    multiply_panels(args.q + block * args.q_stride, args.q_stride, rows, args.head_dim, key_panels, false, scores,
                    score_stride);

    float highest[attention_block_rows], total[attention_block_rows];
    for (int i = 0; i < rows; ++i) highest[i] = max_of_row(scores + i * score_stride, visible_keys(block + i));
    for (int i = 0; i < rows; ++i) {
      float* row = scores + i * score_stride;
      const int keys = visible_keys(block + i);
      total[i] = exp2_of_row(row, keys, args.scale * log2_e, highest[i], row);
      std::fill(row + keys, row + block_keys, 0.0f);
    }

    for (int key = 0; key < block_keys; key += gemm_block_k) {
      const Panels value_panels{args.values + std::ptrdiff_t{key} * panel_columns,
                                std::ptrdiff_t{args.capacity} * panel_columns, args.head_dim};
      multiply_panels(scores + key, score_stride, rows, std::min(gemm_block_k, block_keys - key), value_panels, key > 0,
                      outputs, output_stride);
    }

    for (int i = 0; i < rows; ++i) {
      const V16 inverse = broadcast(1.0f / total[i]);
      for (int channel = 0; channel < args.head_dim; channel += panel_columns)
        store_first(args.y + (block + i) * args.y_stride + channel,
                    load(outputs + i * output_stride + channel) * inverse, args.head_dim - channel);
    }
  }
}

}  // namespace kernel::TESSERA_TARGET
}  // namespace TESSERA_COMMAND_LINE_ISA
}  // namespace tessera

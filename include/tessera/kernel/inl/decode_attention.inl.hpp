// Body of a target region: attention of a single query row. What it reads is a cache in its own order, which would take
// longer to pack than to use; the sums run in the order of attention.inl.hpp.
namespace tessera {
inline namespace TESSERA_COMMAND_LINE_ISA {
namespace kernel::TESSERA_TARGET {

/// scores[heads][key_count] = q[heads][head_dim] · keysᵀ, a block of keys at a time.
inline void score_rows(const DecodeAttentionArgs& args, int heads, const float* q, const float* keys, float* panels,
                       float* scores, std::ptrdiff_t score_stride) {
  const std::ptrdiff_t panel_bytes = std::ptrdiff_t{args.head_dim} * panel_columns * sizeof(float);
  for (int key = 0; key < args.key_count; key += decode_block_keys) {
    const int count = std::min(decode_block_keys, args.key_count - key);
    pack_keys({keys + key * args.keys_stride, args.keys_stride, args.head_dim, 0, count, decode_block_keys, panels});
    multiply_strip(DType::f32, heads, q, args.head_dim, reinterpret_cast<const std::byte*>(panels), panel_bytes,
                   panels_of(count), args.head_dim, false, scores + key, score_stride);
  }
}

/// sums[panels · 16] += weights[count] · values[count][channels], or =; row after row.
template <int panels>
TESSERA_INLINE void add_weighted_rows(const float* weights, int count, const float* values,
                                      std::ptrdiff_t values_stride, int channels, bool from_zero, float* sums) {
  V16 sum[panels];
  TESSERA_UNROLL for (int j = 0; j < panels; ++j) sum[j] = from_zero ? zero() : load(sums + j * panel_columns);
  for (int row = 0; row < count; ++row, values += values_stride) {
    const V16 weight = broadcast(weights[row]);
    TESSERA_UNROLL for (int j = 0; j < panels; ++j) sum[j] =
        multiply_add(weight, load_first(values + j * panel_columns, channels - j * panel_columns), sum[j]);
  }
  TESSERA_UNROLL for (int j = 0; j < panels; ++j) store(sums + j * panel_columns, sum[j]);
}

/// sums[heads] = weights[heads][count] · values[count][head_dim]. A few rows pass all heads and channels while they are
/// in the L1 cache.
inline void weigh_rows(const DecodeAttentionArgs& args, int heads, const float* weights, std::ptrdiff_t weights_stride,
                       int count, const float* values, float* sums, std::ptrdiff_t sums_stride) {
  constexpr int block_rows = 16, wide = 4;
  for (int row = 0; row < count; row += block_rows) {
    const int rows = std::min(block_rows, count - row);
    const float* block = values + row * args.values_stride;
    for (int head = 0; head < heads; ++head) {
      const float* weight = weights + head * weights_stride + row;
      float* sum = sums + head * sums_stride;
      int channel = 0;
      for (; channel + wide * panel_columns <= args.head_dim; channel += wide * panel_columns)
        add_weighted_rows<wide>(weight, rows, block + channel, args.values_stride, wide * panel_columns, row == 0,
                                sum + channel);
      for (; channel < args.head_dim; channel += panel_columns)
        add_weighted_rows<1>(weight, rows, block + channel, args.values_stride, args.head_dim - channel, row == 0,
                             sum + channel);
    }
  }
}

inline void attend_decode(const DecodeAttentionArgs& args) {
  static_assert(tile_rows <= decode_block_heads);
  const std::ptrdiff_t score_stride = attention_score_stride(args.key_count);
  const std::ptrdiff_t output_stride = std::ptrdiff_t{panels_of(args.head_dim)} * panel_columns;
  float* const scores = args.scratch;
  float* const outputs = scores + decode_block_heads * score_stride;
  float* const sums = outputs + decode_block_heads * output_stride;
  float* const panels = sums + decode_block_heads * output_stride;

  for (int head = args.head_begin, heads; head < args.head_end; head += heads) {
    const int key_head = head / args.group;
    heads = std::min({tile_rows, (key_head + 1) * args.group - head, args.head_end - head});
    const std::ptrdiff_t first_channel = std::ptrdiff_t{key_head} * args.head_dim;
    score_rows(args, heads, args.q + head * args.head_dim, args.keys + first_channel, panels, scores, score_stride);

    float total[decode_block_heads];
    for (int i = 0; i < heads; ++i) {
      float* row = scores + i * score_stride;
      total[i] = exp2_of_row(row, args.key_count, args.scale * log2_e, max_of_row(row, args.key_count), row);
    }

    for (int key = 0; key < args.key_count; key += gemm_block_k) {
      weigh_rows(args, heads, scores + key, score_stride, std::min(gemm_block_k, args.key_count - key),
                 args.values + first_channel + key * args.values_stride, key == 0 ? outputs : sums, output_stride);
      if (key == 0) continue;
      for (int i = 0; i < heads * output_stride; i += panel_columns)
        store(outputs + i, load(outputs + i) + load(sums + i));
    }

    for (int i = 0; i < heads; ++i) {
      const V16 inverse = broadcast(1.0f / total[i]);
      fill_row(args.head_dim, args.y + (head + i) * args.head_dim,
               [&](int channel, int /*lanes*/) { return load(outputs + i * output_stride + channel) * inverse; });
    }
  }
}

}  // namespace kernel::TESSERA_TARGET
}  // namespace TESSERA_COMMAND_LINE_ISA
}  // namespace tessera

// Body of a target region: operations on single rows.
namespace tessera {
inline namespace TESSERA_COMMAND_LINE_ISA {
namespace kernel::TESSERA_TARGET {

/// The sum over i of function(i, lanes), whose lanes >= `lanes` must be 0.
template <class Function>
TESSERA_INLINE float sum_row(int count, Function function) {
  V16 sum[4] = {zero(), zero(), zero(), zero()};
  int i = 0;
  for (; i + 64 <= count; i += 64) {
    TESSERA_UNROLL for (int j = 0; j < 4; ++j) sum[j] = sum[j] + function(i + 16 * j, 16);
  }
  for (; i < count; i += 16) sum[0] = sum[0] + function(i, std::min(16, count - i));
  return reduce_add((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

/// What a norm does to a row first: x̂ = (x - mean) · inverse_deviation.
struct RowStatistics {
  float mean, inverse_deviation;
};

inline RowStatistics layer_statistics(const float* x, int count, float epsilon) {
  const float width = static_cast<float>(count);
  const float mean = sum_row(count, [&](int i, int lanes) { return load_first(x + i, lanes); }) / width;
  const V16 center = broadcast(mean);
  const float variance = sum_row(count,
                                 [&](int i, int lanes) {
                                   const V16 d = first_or(load_first(x + i, lanes) - center, lanes, zero());
                                   return d * d;
                                 }) /
                         width;
  return {mean, 1.0f / std::sqrt(variance + epsilon)};
}

inline RowStatistics rms_statistics(const float* x, int count, float epsilon) {
  const float square = sum_row(count,
                               [&](int i, int lanes) {
                                 const V16 v = load_first(x + i, lanes);
                                 return v * v;
                               }) /
                       static_cast<float>(count);
  return {0, 1.0f / std::sqrt(square + epsilon)};
}

inline void layer_norm(const NormArgs& args) {
  for (int row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    const RowStatistics statistics = layer_statistics(x, args.width, args.epsilon);
    const V16 center = broadcast(statistics.mean), scale = broadcast(statistics.inverse_deviation);
    fill_row(args.width, args.y + row * args.y_stride, [&](int i, int lanes) {
      return multiply_add((load_first(x + i, lanes) - center) * scale, load_first(args.weight + i, lanes),
                          load_first(args.bias + i, lanes));
    });
  }
}

inline void rms_norm(const NormArgs& args) {
  for (int row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    const V16 scale = broadcast(rms_statistics(x, args.width, args.epsilon).inverse_deviation);
    fill_row(args.width, args.y + row * args.y_stride,
             [&](int i, int lanes) { return load_first(x + i, lanes) * scale * load_first(args.weight + i, lanes); });
  }
}

inline void add(const float* a, const float* b, int count, float* y) {
  fill_row(count, y, [&](int i, int lanes) { return load_first(a + i, lanes) + load_first(b + i, lanes); });
}

inline void rope(float* row, int heads, int head_dim, const float* cos, const float* sin) {
  const int half = head_dim / 2;
  for (float* head = row; head < row + std::ptrdiff_t{heads} * head_dim; head += head_dim) {
    for (int i = 0; i < half; i += 16) {
      const int lanes = half - i;
      const V16 first = load_first(head + i, lanes), second = load_first(head + half + i, lanes);
      const V16 c = load_first(cos + i, lanes), s = load_first(sin + i, lanes);
      store_first(head + i, negative_multiply_add(second, s, first * c), lanes);
      store_first(head + half + i, multiply_add(first, s, second * c), lanes);
    }
  }
}

}  // namespace kernel::TESSERA_TARGET
}  // namespace TESSERA_COMMAND_LINE_ISA
}  // namespace tessera

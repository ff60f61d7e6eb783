// Body of a target region: gradients of the operations on single rows.
namespace tessera {
inline namespace TESSERA_COMMAND_LINE_ISA {
namespace kernel::TESSERA_TARGET {

/// The derivatives of both GELUs and of x · sigmoid(x) satisfy d(x) = 1 - d(-x); `at_negative` is d(-|x|).
TESSERA_INLINE V16 derivative_from(V16 at_negative, V16 x) {
  return if_negative(x, at_negative, broadcast(1.0f) - at_negative);
}

/// Of x · Φ(x): Φ(x) + x · φ(x).
TESSERA_INLINE V16 gelu_derivative(V16 x) {
  const V16 u = min(broadcast(14.0f), abs(x));  // φ is 0 beyond
  const V16 density = exp2_of_nonpositive(u * u * broadcast(-0.5f * log2_e)) * broadcast(0.398942280f);
  const V16 tail = gelu_tail(min(broadcast(detail::gelu_end), u), detail::gelu_erf_table);
  return derivative_from(negative_multiply_add(u, density, tail), x);
}

/// With Φ(x) = (1 + tanh s) / 2, Φ' = 2 · Φ · (1 - Φ) · s'.
TESSERA_INLINE V16 gelu_tanh_derivative(V16 x) {
  const V16 u = min(broadcast(detail::gelu_end), abs(x));
  const V16 tail = gelu_tail(u, detail::gelu_tanh_table);
  constexpr float slope0 = 1.59576912f,
                  slope2 = 0.214064392f;  // 2 · s' = 2 · √(2/π) · (1 + 3 · 0.044715 · u²)
  const V16 slope = multiply_add(u * u, broadcast(slope2), broadcast(slope0));
  const V16 factor = negative_multiply_add(u * slope, broadcast(1.0f) - tail, broadcast(1.0f));
  return derivative_from(tail * factor, x);
}

/// Of x · σ(slope · x): σ(z) · (1 + z · σ(-z)) with z = slope · x.
TESSERA_INLINE V16 sigmoid_derivative(V16 x, float slope) {
  const V16 z = min(broadcast(100.0f), abs(x) * broadcast(slope));  // σ(-z) is 0 beyond
  const V16 e = exp2_of_nonpositive(z * broadcast(-log2_e));
  const V16 sigmoid = broadcast(1.0f) / (e + broadcast(1.0f));
  return derivative_from(e * sigmoid * negative_multiply_add(z, sigmoid, broadcast(1.0f)), x);
}

template <Activation activation>
TESSERA_INLINE V16 derivative(V16 x) {
  if constexpr (activation == Activation::gelu)
    return gelu_derivative(x);
  else if constexpr (activation == Activation::gelu_tanh)
    return gelu_tanh_derivative(x);
  else if constexpr (activation == Activation::quick_gelu)
    return sigmoid_derivative(x, 1.702f);
  else if constexpr (activation == Activation::silu)
    return sigmoid_derivative(x, 1.0f);
  else if constexpr (activation == Activation::relu)
    return zero_if_less(x, broadcast(std::numeric_limits<float>::denorm_min()), broadcast(1.0f));
  else
    return broadcast(1.0f);
}

/// y[i] += a · b, where factors(i, lanes) gives both.
struct Factors {
  V16 a, b;
};
template <class Function>
TESSERA_INLINE void add_products_to_row(int count, float* y, Function factors) {
  fill_row(count, y, [&](int i, int lanes) {
    const Factors f = factors(i, lanes);
    return multiply_add(f.a, f.b, load_first(y + i, lanes));
  });
}

inline void activate_backward(Activation activation, const float* x, const float* dy, int count, float* dx) {
  with_activation(activation, [&]<Activation known>() {
    add_products_to_row(count, dx, [&](int i, int lanes) {
      return Factors{load_first(dy + i, lanes), derivative<known>(load_first(x + i, lanes))};
    });
  });
}

inline void gate(Activation activation, const float* gate, const float* up, int count, float* y) {
  with_activation(activation, [&]<Activation known>() {
    fill_row(count, y, [&](int i, int lanes) {
      return activate<known>(load_first(gate + i, lanes)) * load_first(up + i, lanes);
    });
  });
}

inline void gate_backward(Activation activation, const float* gate, const float* up, const float* dy, int count,
                          float* dgate, float* dup) {
  with_activation(activation, [&]<Activation known>() {
    add_products_to_row(count, dgate, [&](int i, int lanes) {
      return Factors{load_first(dy + i, lanes) * load_first(up + i, lanes),
                     derivative<known>(load_first(gate + i, lanes))};
    });
    add_products_to_row(count, dup, [&](int i, int lanes) {
      return Factors{load_first(dy + i, lanes), activate<known>(load_first(gate + i, lanes))};
    });
  });
}

/// With x̂ the standardised row and g = dy · weight: dx = (g - mean(g) - x̂ · mean(g · x̂)) / deviation, where a norm
/// that does not center its rows lacks mean(g).
template <bool centers>
void norm_backward(const NormBackwardArgs& args) {
  const float width = static_cast<float>(args.width);
  for (float* sums : {args.dweight, args.dbias})
    if (sums != nullptr) std::fill_n(sums, args.width, 0.0f);
  for (int row = 0; row < args.rows; ++row) {
    const float *x = args.x + row * args.x_stride, *dy = args.dy + row * args.dy_stride;
    const RowStatistics statistics =
        centers ? layer_statistics(x, args.width, args.epsilon) : rms_statistics(x, args.width, args.epsilon);
    const V16 center = broadcast(statistics.mean), scale = broadcast(statistics.inverse_deviation);
    const auto standardized = [&](int i, int lanes) { return (load_first(x + i, lanes) - center) * scale; };
    const auto weighted = [&](int i, int lanes) {
      return load_first(dy + i, lanes) * load_first(args.weight + i, lanes);
    };
    if (args.dx != nullptr) {
      const V16 negative_mean = centers ? broadcast(-sum_row(args.width, weighted) / width) : zero();
      const V16 correlation = broadcast(
          sum_row(args.width, [&](int i, int lanes) { return weighted(i, lanes) * standardized(i, lanes); }) / width);
      add_products_to_row(args.width, args.dx + row * args.dx_stride, [&](int i, int lanes) {
        const V16 g = multiply_add(load_first(dy + i, lanes), load_first(args.weight + i, lanes), negative_mean);
        return Factors{negative_multiply_add(standardized(i, lanes), correlation, g), scale};
      });
    }
    if (args.dweight != nullptr)
      add_products_to_row(args.width, args.dweight, [&](int i, int lanes) {
        return Factors{load_first(dy + i, lanes), standardized(i, lanes)};
      });
    if (args.dbias != nullptr) add(args.dbias, dy, args.width, args.dbias);
  }
}

inline void layer_norm_backward(const NormBackwardArgs& args) { norm_backward<true>(args); }
inline void rms_norm_backward(const NormBackwardArgs& args) { norm_backward<false>(args); }

inline double cross_entropy(float* logits, int width, int label, float smoothing, float scale) {
  const double uniform = double{smoothing} / width, sure = 1.0 - double{smoothing};
  // Subtracted first, so that neither exponentials nor loss lose digits to the size of the logits.
  const V16 highest = broadcast(max_of_row(logits, width));
  fill_row(width, logits, [&](int i, int lanes) { return load_first(logits + i, lanes) - highest; });
  double expected = sure * double{logits[label]};  // the mean logit under the target distribution
  if (smoothing != 0)
    expected += uniform * double{sum_row(width, [&](int i, int lanes) { return load_first(logits + i, lanes); })};
  const float total = exp2_of_row(logits, width, log2_e, 0, logits);

  const float label_gradient = static_cast<float>(scale * (double{logits[label]} / double{total} - sure - uniform));
  const V16 factor = broadcast(scale / total), offset = broadcast(static_cast<float>(-scale * uniform));
  fill_row(width, logits,
           [&](int i, int lanes) { return multiply_add(load_first(logits + i, lanes), factor, offset); });
  logits[label] = label_gradient;
  return std::log(double{total}) - expected;
}

}  // namespace kernel::TESSERA_TARGET
}  // namespace TESSERA_COMMAND_LINE_ISA
}  // namespace tessera

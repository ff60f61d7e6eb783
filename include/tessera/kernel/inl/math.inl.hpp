// Body of a target region: exponentials and activations of a V16. NaN stays NaN.
namespace tessera {
inline namespace TESSERA_COMMAND_LINE_ISA {
namespace kernel::TESSERA_TARGET {

inline constexpr float log2_e = 1.44269504f;

/// 2^x for x <= 0, within 1 ulp; exactly 0 for x < -126, so never subnormal.
TESSERA_INLINE V16 exp2_of_nonpositive(V16 x) {
  constexpr float coefficients[] = {1.0f,
                                    0.6931472057f,
                                    0.2402264689f,
                                    0.05550328779f,
                                    0.009618488898f,
                                    0.001339993079f,
                                    0.0001534582738f};  // minimax on [-0.5, 0.5]
  const V16 shifted = x + broadcast(shift_to_integer);
  const V16 fraction = x - (shifted - broadcast(shift_to_integer));
  V16 power = broadcast(coefficients[6]);
  TESSERA_UNROLL for (int i = 5; i >= 0; --i) power = multiply_add(power, fraction, broadcast(coefficients[i]));
  return zero_if_less(x, broadcast(-126.0f), power * power_of_two(shifted));
}

/// x · sigmoid(slope · x), with the exponential of a negative number for either sign.
TESSERA_INLINE V16 times_sigmoid(V16 x, float slope) {
  const V16 e = exp2_of_nonpositive(abs(x) * broadcast(-slope * log2_e));
  return if_negative(x, x * e, x) / (e + broadcast(1.0f));
}

/// Φ(-u) for 0 <= u <= gelu_end, by one of the tables.
TESSERA_INLINE V16 gelu_tail(V16 u, const float (&table)[6][16]) {
  const V16 shifted = multiply_add(u, broadcast(1.0f / detail::gelu_interval), broadcast(shift_to_integer));
  const V16 offset = negative_multiply_add(shifted - broadcast(shift_to_integer), broadcast(detail::gelu_interval), u);
  V16 q = look_up(table[5], shifted);
  TESSERA_UNROLL for (int i = 4; i >= 0; --i) q = multiply_add(q, offset, look_up(table[i], shifted));
  return q;
}

TESSERA_INLINE V16 gelu_by_table(V16 x, const float (&table)[6][16]) {
  const V16 u = min(broadcast(detail::gelu_end), abs(x));
  return negative_multiply_add(u, gelu_tail(u, table), max(zero(), x));
}

template <Activation activation>
TESSERA_INLINE V16 activate(V16 x) {
  if constexpr (activation == Activation::gelu)
    return gelu_by_table(x, detail::gelu_erf_table);
  else if constexpr (activation == Activation::gelu_tanh)
    return gelu_by_table(x, detail::gelu_tanh_table);
  else if constexpr (activation == Activation::quick_gelu)
    return times_sigmoid(x, 1.702f);
  else if constexpr (activation == Activation::silu)
    return times_sigmoid(x, 1.0f);
  else if constexpr (activation == Activation::relu)
    return max(zero(), x);
  else
    return x;
}

/// Calls function<activation>().
template <class Function>
TESSERA_INLINE void with_activation(Activation activation, Function function) {
  switch (activation) {
    case Activation::identity:
      return function.template operator()<Activation::identity>();
    case Activation::gelu:
      return function.template operator()<Activation::gelu>();
    case Activation::gelu_tanh:
      return function.template operator()<Activation::gelu_tanh>();
    case Activation::quick_gelu:
      return function.template operator()<Activation::quick_gelu>();
    case Activation::silu:
      return function.template operator()<Activation::silu>();
    case Activation::relu:
      return function.template operator()<Activation::relu>();
  }
}

/// y[i] = function(i, lanes), 16 at a time.
template <class Function>
TESSERA_INLINE void fill_row(int count, float* y, Function function) {
  int i = 0;
  for (; i + 16 <= count; i += 16) store(y + i, function(i, 16));
  if (i < count) store_masked(y + i, function(i, count - i), count - i);
}

template <Activation activation>
TESSERA_NOINLINE void activate_row(const float* x, int count, float* y) {
  fill_row(count, y, [&](int i, int lanes) { return activate<activation>(load_first(x + i, lanes)); });
}

inline void activate_row(Activation activation, const float* x, int count, float* y) {
  with_activation(activation, [&]<Activation known>() { activate_row<known>(x, count, y); });
}

}  // namespace kernel::TESSERA_TARGET
}  // namespace TESSERA_COMMAND_LINE_ISA
}  // namespace tessera

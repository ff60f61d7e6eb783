// Body of a target region: the optimiser's operations on arrays of parameters.
namespace tessera {
inline namespace TESSERA_COMMAND_LINE_ISA {
namespace kernel::TESSERA_TARGET {

/// Where torch's CPU kernels fuse a product with a sum, so does this; where they round the product, `rounded` does.
/// What is left is torch's square root: MKL's is 1 ulp off for a sixth of all numbers, this one is exact.
inline void adamw(const AdamwArgs& args) {
  const double correction1 = 1 - std::pow(args.beta1, static_cast<double>(args.step));
  const double correction2 = 1 - std::pow(args.beta2, static_cast<double>(args.step));
  const auto constant = [](double x) { return broadcast(static_cast<float>(x)); };
  const V16 gradient_scale = broadcast(args.gradient_scale);
  const V16 decay = constant(1 - args.learning_rate * args.weight_decay);
  const V16 beta2 = constant(args.beta2), rest2 = constant(1 - args.beta2);
  const V16 deviation_scale = constant(std::sqrt(correction2)), epsilon = constant(args.epsilon);
  const V16 negative_step_size = constant(-(args.learning_rate / correction1));
  const float rest1 = static_cast<float>(1 - args.beta1);

  for (std::ptrdiff_t i = 0; i < args.count; i += 16) {
    const int lanes = static_cast<int>(std::min<std::ptrdiff_t>(16, args.count - i));
    const V16 gradient = rounded(load_first(args.gradient + i, lanes) * gradient_scale);
    V16 first = load_first(args.first_moment + i, lanes), second = load_first(args.second_moment + i, lanes);
    // torch.lerp starts from the nearer end.
    first = rest1 < 0.5f ? multiply_add(broadcast(rest1), gradient - first, first)
                         : multiply_add(broadcast(rest1 - 1.0f), gradient - first, gradient);
    second = multiply_add(rest2 * gradient, gradient, second * beta2);
    const V16 deviation = sqrt(second) / deviation_scale + epsilon;
    const V16 decayed = rounded(load_first(args.value + i, lanes) * decay);
    store_first(args.first_moment + i, first, lanes);
    store_first(args.second_moment + i, second, lanes);
    store_first(args.value + i, decayed + negative_step_size * first / deviation, lanes);
  }
}

/// Sixteen running sums, added as a tree. A product of two floats is exact in double, so fusing changes no bit.
inline double sum_of_squares(const float* x, std::ptrdiff_t count) {
  double sum[16] = {};
  std::ptrdiff_t i = 0;
  for (; i + 16 <= count; i += 16) {
    TESSERA_UNROLL for (int lane = 0; lane < 16; ++lane) sum[lane] += double{x[i + lane]} * double{x[i + lane]};
  }
  for (int lane = 0; i + lane < count; ++lane) sum[lane] += double{x[i + lane]} * double{x[i + lane]};
  for (int apart = 8; apart > 0; apart /= 2)
    for (int lane = 0; lane < apart; ++lane) sum[lane] += sum[lane + apart];
  return sum[0];
}

inline void scale_add(float a, const float* x, std::ptrdiff_t count, float* y) {
  const V16 factor = broadcast(a);
  for (std::ptrdiff_t i = 0; i < count; i += 16) {
    const int lanes = static_cast<int>(std::min<std::ptrdiff_t>(16, count - i));
    store_first(y + i, multiply_add(factor, load_first(x + i, lanes), load_first(y + i, lanes)), lanes);
  }
}

}  // namespace kernel::TESSERA_TARGET
}  // namespace TESSERA_COMMAND_LINE_ISA
}  // namespace tessera

// What every way of using the library must be able to build: one layer on the SIMD kernels.

#include <cstdio>
#include <vector>

#include <tessera/tessera.hpp>

int main() {
  using namespace tessera;
  ops::Native ops;
  Linear<4, 2> layer(4, 2);
  WeightStore store;
  initialize(layer, ops, store, /*seed=*/1);

  Arena arena(1 << 20);
  Context context(ops, arena);
  const std::vector<float> x = {1, 2, 3, 4};
  std::vector<float> y(2);
  infer(layer, context, dense<const float>(x.data(), 1, 4), dense<float>(y.data(), 1, 2));
  std::printf("%g\n", static_cast<double>(y[0]));
}

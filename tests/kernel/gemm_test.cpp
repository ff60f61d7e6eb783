#include <cmath>
#include <limits>
#include <utility>

#include "catch.hpp"
#include "kernel/kernel_testing.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

double activation_in_double(Activation activation, double x) {
  switch (activation) {
    case Activation::identity:
      return x;
    case Activation::gelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::quick_gelu:
      return x / (1 + std::exp(-1.702 * x));
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::relu:
      return x > 0 ? x : 0;
  }
  return 0;
}

/// A weight in a 16-bit or 32-bit format: what the file holds, what it means, and its packed form.
struct Weight {
  Weight(DType format, int n, int k, unsigned seed) : decoded(random_numbers(std::size_t(n) * k, seed)), packed_(0) {
    std::vector<std::uint16_t> halves;
    for (float& w : decoded) {
      if (format == DType::f32) break;
      halves.push_back(format == DType::bf16 ? bf16::encode(w) : f16::encode(w));
      w = format == DType::bf16 ? bf16::decode(halves.back()) : f16::decode(halves.back());
    }
    packed_ = AlignedFloats(packed_bytes(format, n, k) / sizeof(float));
    const void* source = format == DType::f32 ? static_cast<const void*>(decoded.data()) : halves.data();
    pack_weight(format, format, source, n, k, packed_.data(), 0, panels_of(n));
  }
  const void* packed() { return packed_.data(); }
  std::vector<float> decoded;

 private:
  AlignedFloats packed_;
};

/// A product with operands of its own; rows of x and y lie apart, and what lies between them must not be used.
struct Product {
  static constexpr int gap = 3;

  Product(DType weight_format, int row_count, int columns, int depth)
      : format(weight_format),
        rows(row_count),
        n(columns),
        k(depth),
        x(random_numbers(std::size_t(rows) * k, 1)),
        bias(random_numbers(std::size_t(n), 2)),
        gate_bias(random_numbers(std::size_t(n), 3)),
        residual(random_numbers(std::size_t(rows) * n, 4)),
        weight(format, n, k, 5),
        gate(format, n, k, 6) {}

  GemmArgs args() {
    return {.x = x.data(),
            .x_stride = k,
            .weight = weight.packed(),
            .format = format,
            .n = n,
            .k = k,
            .row_end = rows,
            .panel_end = panels_of(n)};
  }
  GemmArgs full_args(Activation activation) {
    GemmArgs full = args();
    full.bias = bias.data();
    full.activation = activation;
    full.residual = residual.data();
    full.residual_stride = n;
    return full;
  }
  GemmArgs gated_args(Activation activation) {
    GemmArgs gated = full_args(activation);
    gated.gate_weight = gate.packed();
    gated.gate_bias = gate_bias.data();
    return gated;
  }

  /// Runs `call` in pieces of at most `row_step` rows and `panel_step` panels.
  std::vector<float> run(Isa isa, GemmArgs call, int row_step, int panel_step) {
    const std::vector<float> guard = random_numbers(1, 7);
    std::vector<float> padded(std::size_t(rows) * (n + gap), guard[0]);
    call.y = padded.data();
    call.y_stride = n + gap;
    AlignedFloats scratch(gemm_scratch_floats(rows, k));
    call.scratch = scratch.data();
    for (call.row_begin = 0; call.row_begin < rows; call.row_begin += row_step)
      for (call.panel_begin = 0; call.panel_begin < panels_of(n); call.panel_begin += panel_step) {
        call.row_end = std::min(rows, call.row_begin + row_step);
        call.panel_end = std::min(panels_of(n), call.panel_begin + panel_step);
        kernels(isa).gemm(call);
      }
    std::vector<float> y;
    for (int i = 0; i < rows; ++i) {
      const float* row = padded.data() + std::size_t(i) * (n + gap);
      y.insert(y.end(), row, row + n);
      for (int j = n; j < n + gap; ++j) REQUIRE(row[j] == guard[0]);
    }
    return y;
  }
  std::vector<float> run(Isa isa, const GemmArgs& call) { return run(isa, call, rows, panels_of(n)); }

  double sum_in_double(const Weight& w, int i, int j, double& magnitude) const {
    double sum = 0;
    magnitude = 0;
    for (int c = 0; c < k; ++c) {
      const double product = double(x[std::size_t(i) * k + c]) * w.decoded[std::size_t(j) * k + c];
      sum += product;
      magnitude += std::fabs(product);
    }
    return sum;
  }

  /// The largest error of y as a multiple of √k · 2⁻²⁴ · Σ|x||w|, of the few elements checked.
  double relative_error(const std::vector<float>& y, const GemmArgs& call) const {
    double worst = 0;
    for (int i = 0; i<rows; i += rows> 40 ? 13 : 1)
      for (int j = 0; j<n; j += n> 100 ? 7 : 1) {
        double magnitude = 0, gate_magnitude = 0;
        double expected = sum_in_double(weight, i, j, magnitude);
        if (call.bias != nullptr) expected += call.bias[j];
        if (call.gate_weight == nullptr)
          expected = activation_in_double(call.activation, expected);
        else {
          const double gated =
              activation_in_double(call.activation, sum_in_double(gate, i, j, gate_magnitude) + gate_bias[j]);
          magnitude = std::fabs(gated) * magnitude + 1.2 * std::fabs(expected) * gate_magnitude;
          expected *= gated;
        }
        if (call.residual != nullptr) expected += call.residual[std::size_t(i) * n + j];
        const double allowed = std::sqrt(k) * 0x1p-24 * (magnitude + std::fabs(expected) + 4);
        const double error = std::fabs(y[std::size_t(i) * n + j] - expected) / allowed;
        worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
      }
    return worst;
  }

  DType format;
  int rows, n, k;
  std::vector<float> x, bias, gate_bias, residual;
  Weight weight, gate;
};

constexpr DType formats[] = {DType::f32, DType::bf16, DType::f16};

}  // namespace

TEST_CASE("gemm agrees with a product in double for awkward sizes") {
  for (const DType format : formats)
    for (const int rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 17, 49})
      for (const auto& [n, k] : {std::pair{1, 1}, {15, 3}, {16, 64}, {17, 33}, {50, 7}, {97, 31}, {130, 1025}}) {
        Product product(format, rows, n, k);
        const GemmArgs call = product.args();
        for (const Isa isa : available_isas()) {
          CAPTURE(name_of(isa), name_of(format), rows, n, k);
          REQUIRE(product.relative_error(product.run(isa, call), call) < 1);
        }
      }
}

TEST_CASE("gemm sums several blocks of k") {
  for (const DType format : formats)
    for (const int k : {1024, 1025, 2047, 3100}) {
      Product product(format, 577, 40, k);
      const GemmArgs call = product.full_args(Activation::identity);
      for (const Isa isa : available_isas()) {
        if (isa == Isa::scalar && k != 2047) continue;
        CAPTURE(name_of(isa), name_of(format), k);
        REQUIRE(product.relative_error(product.run(isa, call), call) < 1);
      }
    }
}

TEST_CASE("gemm holds the sums of one group of columns after the other") {
  Product product(DType::f32, 13, 2 * gemm_group_columns + 37, gemm_block_k + 3);
  for (const Isa isa : available_isas())
    for (const GemmArgs& call : {product.full_args(Activation::silu), product.gated_args(Activation::silu)}) {
      CAPTURE(name_of(isa), call.gate_weight);
      const std::vector<float> whole = product.run(isa, call);
      CHECK(product.relative_error(whole, call) < 1);
      CHECK(same_bits(product.run(isa, call, product.rows, 7), whole));
    }
}

TEST_CASE("gemm applies bias, activation, gate and residual") {
  for (const Activation activation : {Activation::identity, Activation::gelu, Activation::gelu_tanh,
                                      Activation::quick_gelu, Activation::silu, Activation::relu})
    for (const int k : {70, 1100}) {
      Product product(DType::bf16, 13, 85, k);
      for (const Isa isa : available_isas()) {
        CAPTURE(name_of(isa), name_of(activation), k);
        const GemmArgs full = product.full_args(activation), gated = product.gated_args(activation);
        CHECK(product.relative_error(product.run(isa, full), full) < 1);
        CHECK(product.relative_error(product.run(isa, gated), gated) < 1);
      }
    }
}

TEST_CASE("gemm may add its result to y") {
  for (const Isa isa : available_isas()) {
    Product product(DType::f32, 11, 37, 1500);
    GemmArgs call = product.full_args(Activation::gelu);
    const std::vector<float> expected = product.run(isa, call);
    AlignedFloats scratch(gemm_scratch_floats(product.rows, product.k));
    call.scratch = scratch.data();
    call.y = product.residual.data();
    call.y_stride = call.residual_stride;
    kernels(isa).gemm(call);
    CHECK(same_bits(product.residual, expected));
  }
}

TEST_CASE("the bits of a product do not depend on how rows and columns are split") {
  for (const Isa isa : available_isas())
    for (const DType format : formats)
      for (const bool gated : {false, true})
        for (const int k : {67, 1027}) {
          Product product(format, isa == Isa::scalar ? 9 : 25, 150, k);
          const GemmArgs call = gated ? product.gated_args(Activation::silu) : product.full_args(Activation::gelu);
          const std::vector<float> whole = product.run(isa, call);
          CAPTURE(name_of(isa), name_of(format), gated, k);
          for (const int row_step : {1, 2, 3, 4, 5, 6, 7, 8, 11})
            for (const int panel_step : {1, 2, 3, 4, 10})
              REQUIRE(same_bits(product.run(isa, call, row_step, panel_step), whole));
        }
}

TEST_CASE("16-bit weights give the bits of an f32 product with the same numbers") {
  for (const Isa isa : available_isas())
    for (const DType format : {DType::bf16, DType::f16})
      for (const int rows : {1, 2, 7, 26})
        for (const int k : {5, 64, 2051}) {
          Product product(format, rows, 66, k);
          AlignedFloats widened(packed_bytes(DType::f32, product.n, k) / sizeof(float));
          pack_weight(DType::f32, DType::f32, product.weight.decoded.data(), product.n, k, widened.data(), 0,
                      panels_of(product.n));
          const GemmArgs call = product.args();
          GemmArgs call32 = call;
          call32.format = DType::f32;
          call32.weight = widened.data();
          CAPTURE(name_of(isa), name_of(format), rows, k);
          REQUIRE(same_bits(product.run(isa, call), product.run(isa, call32)));
        }
}

TEST_CASE("a gated product has the bits of two products") {
  for (const Isa isa : available_isas()) {
    Product product(DType::bf16, 19, 90, 1200);
    GemmArgs gated = product.gated_args(Activation::silu), up = product.args(), gate = up;
    gated.residual = nullptr;
    up.bias = product.bias.data();
    gate.weight = product.gate.packed();
    gate.bias = product.gate_bias.data();
    gate.activation = Activation::silu;
    const std::vector<float> linear = product.run(isa, up);
    std::vector<float> expected = product.run(isa, gate);
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] *= linear[i];
    CHECK(same_bits(product.run(isa, gated), expected));
  }
}

TEST_CASE("AVX2 and AVX-512 give the same product") {
  if (detected_isa() < Isa::avx512) return;
  for (const DType format : formats)
    for (const int rows : {1, 7, 50}) {
      Product product(format, rows, 150, 1031);
      const GemmArgs call = product.gated_args(Activation::gelu);
      CHECK(same_bits(product.run(Isa::avx2, call), product.run(Isa::avx512, call)));
    }
}

TEST_CASE("a product keeps NaN and infinity in their rows and columns") {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const Isa isa : available_isas()) {
    Product product(DType::f32, 9, 33, 40);
    product.x[4 * 40 + 7] = std::numeric_limits<float>::quiet_NaN();
    product.x[6 * 40 + 39] = infinity;
    const std::vector<float> y = product.run(isa, product.args());
    for (int i = 0; i < 9; ++i)
      for (int j = 0; j < 33; ++j) {
        const float value = y[std::size_t(i) * 33 + j];
        if (i == 4)
          CHECK(std::isnan(value));
        else
          CHECK(std::isinf(value) == (i == 6));
      }
  }
}

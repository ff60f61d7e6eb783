#include <cmath>
#include <functional>
#include <limits>

#include "tessera/kernel/training_kernels.hpp"

#include "catch.hpp"
#include "kernel/kernel_testing.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr Activation activations[] = {Activation::identity,   Activation::gelu, Activation::gelu_tanh,
                                      Activation::quick_gelu, Activation::silu, Activation::relu};

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

double derivative_in_double(Activation activation, double x) {
  switch (activation) {
    case Activation::identity:
      return 1;
    case Activation::gelu:
      return normal_cdf(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI);
    case Activation::gelu_tanh: {
      const double root = std::sqrt(2 / M_PI), tanh = std::tanh(root * (x + 0.044715 * x * x * x));
      return 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * root * (1 + 3 * 0.044715 * x * x);
    }
    case Activation::quick_gelu:
      return sigmoid(1.702 * x) * (1 + 1.702 * x * sigmoid(-1.702 * x));
    case Activation::silu:
      return sigmoid(x) * (1 + x * sigmoid(-x));
    case Activation::relu:
      return x > 0 ? 1 : 0;
  }
  return 0;
}

/// The largest |y - expected|; infinity if there is a NaN.
double worst_error(const std::vector<float>& y, const std::function<double(std::size_t)>& expected) {
  double worst = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double error = std::fabs(y[i] - expected(i));
    worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
  }
  return worst;
}

/// A row-major matrix of one of the weight formats, in rows with a gap: what the file holds and what it means.
struct Stored {
  static constexpr int gap = 5;
  Stored(DType format, int row_count, int columns, unsigned seed)
      : type(format), stride(columns + gap), decoded(random_numbers(std::size_t(row_count) * stride, seed)) {
    for (float& number : decoded) {
      if (type == DType::f32) break;
      halves.push_back(type == DType::bf16 ? bf16::encode(number) : f16::encode(number));
      number = type == DType::bf16 ? bf16::decode(halves.back()) : f16::decode(halves.back());
    }
  }
  const void* data() const { return type == DType::f32 ? static_cast<const void*>(decoded.data()) : halves.data(); }
  DType type;
  int stride;
  std::vector<float> decoded;
  std::vector<std::uint16_t> halves;
};

std::vector<float> row_range(const std::vector<float>& x, int begin, int end, int width) {
  return {x.begin() + std::ptrdiff_t{begin} * width, x.begin() + std::ptrdiff_t{end} * width};
}

}  // namespace

TEST_CASE("pack_columns gives the panels of a row-major matrix") {
  for (const Isa isa : available_isas())
    for (const DType type : {DType::f32, DType::bf16, DType::f16})
      for (const int k : {1, 3, 64, 70})
        for (const int n : {1, 2, 15, 16, 17, 40, 70, 577}) {
          CAPTURE(name_of(isa), name_of(type), k, n);
          const Stored source(type, k, n, 1);
          AlignedFloats packed(packed_bytes(DType::f32, n, k) / sizeof(float));
          PackColumnsArgs args{.source = source.data(),
                               .source_type = type,
                               .source_stride = source.stride,
                               .n = n,
                               .k = k,
                               .packed = packed.data()};
          for (; args.panel_begin < panels_of(n); args.panel_begin = args.panel_end) {
            args.panel_end = std::min(panels_of(n), args.panel_begin + 2);
            training_kernels(isa).pack_columns(args);
          }
          for (int panel = 0; panel < panels_of(n); ++panel)
            for (int r = 0; r < k; ++r)
              for (int i = 0; i < 16; ++i) {
                const int column = panel * 16 + i;
                const float expected = column < n ? source.decoded[std::size_t(r) * source.stride + column] : 0.0f;
                REQUIRE(packed.data()[(std::size_t(panel) * k + r) * 16 + i] == expected);
              }
        }
}

TEST_CASE("transpose moves every number and nothing else") {
  constexpr int sizes[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 70};
  for (const Isa isa : available_isas())
    for (const int rows : sizes)
      for (const int columns : sizes) {
        const int x_stride = columns + 3, y_stride = rows + 2;
        const std::vector<float> x = random_numbers(std::size_t(rows) * x_stride, 1);
        std::vector<float> y(std::size_t(columns) * y_stride, 7);
        training_kernels(isa).transpose({.x = x.data(),
                                         .x_stride = x_stride,
                                         .rows = rows,
                                         .columns = columns,
                                         .y = y.data(),
                                         .y_stride = y_stride});
        for (int j = 0; j < columns; ++j)
          for (int i = 0; i < y_stride; ++i)
            REQUIRE(y[std::size_t(j) * y_stride + i] == (i < rows ? x[std::size_t(i) * x_stride + j] : 7));
      }
}

namespace {

/// y[rows][n] += a[rows][k] · m[k][n], with `step` columns of m packed at a time.
void add_product(Isa isa, const std::vector<float>& a, const std::vector<float>& m, int k, int n, int step,
                 std::vector<float>& y) {
  const int rows = static_cast<int>(a.size()) / k;
  AlignedFloats packed(packed_bytes(DType::f32, step, k) / sizeof(float)), scratch(gemm_scratch_floats(rows, k));
  for (int column = 0; column < n; column += step) {
    const int columns = std::min(step, n - column);
    training_kernels(isa).pack_columns({.source = m.data() + column,
                                        .source_stride = n,
                                        .n = columns,
                                        .k = k,
                                        .packed = packed.data(),
                                        .panel_end = panels_of(columns)});
    kernels(isa).gemm({.x = a.data(),
                       .x_stride = k,
                       .weight = packed.data(),
                       .n = columns,
                       .k = k,
                       .residual = y.data() + column,
                       .residual_stride = n,
                       .y = y.data() + column,
                       .y_stride = n,
                       .row_end = rows,
                       .panel_end = panels_of(columns),
                       .scratch = scratch.data()});
  }
}

/// Checks add_product, in blocks and at once, with left(row, c) = a[row][c]; errors as a multiple of
/// √k · 2⁻²⁴ · (the sum of the terms' magnitudes).
void check_product(Isa isa, const std::vector<float>& a, const std::function<float(int, int)>& left,
                   const std::vector<float>& m, int k, int n) {
  const std::vector<float> start = random_numbers(a.size() / static_cast<std::size_t>(k) * n, 4);
  std::vector<float> y = start, in_blocks = start;
  add_product(isa, a, m, k, n, n, y);
  add_product(isa, a, m, k, n, 16, in_blocks);
  CHECK(same_bits(y, in_blocks));
  double worst = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    double sum = start[i], magnitude = std::fabs(start[i]);
    for (int c = 0; c < k; ++c) {
      const double term = double(left(static_cast<int>(i) / n, c)) * m[std::size_t(c) * n + i % n];
      sum += term;
      magnitude += std::fabs(term);
    }
    worst = std::max(worst, std::fabs(y[i] - sum) / (std::sqrt(k) * 0x1p-24 * magnitude));
  }
  CHECK(worst < 2);
}

}  // namespace

TEST_CASE("the gradients of a linear layer are products with packed columns") {
  struct Shape {
    int rows, in, out;
  };
  for (const Isa isa : available_isas())
    for (const Shape& s : {Shape{1, 1, 1}, {5, 17, 33}, {70, 40, 9}, {37, 100, 1100}, {1030, 20, 6}}) {
      CAPTURE(name_of(isa), s.rows, s.in, s.out);
      const std::vector<float> x = random_numbers(std::size_t(s.rows) * s.in, 1);
      const std::vector<float> w = random_numbers(std::size_t(s.out) * s.in, 2);
      const std::vector<float> dy = random_numbers(std::size_t(s.rows) * s.out, 3);
      std::vector<float> transposed(dy.size());
      training_kernels(isa).transpose({.x = dy.data(),
                                       .x_stride = s.out,
                                       .rows = s.rows,
                                       .columns = s.out,
                                       .y = transposed.data(),
                                       .y_stride = s.rows});
      const auto dy_at = [&](int row, int c) { return dy[std::size_t(row) * s.out + c]; };
      check_product(isa, dy, dy_at, w, s.out, s.in);  // dx
      check_product(
          isa, transposed, [&](int c, int row) { return dy_at(row, c); }, x, s.rows, s.in);  // dW
    }
}

TEST_CASE("derivatives of activations agree with double") {
  std::vector<float> x;
  for (int i = -100000; i <= 100000; ++i) x.push_back(2e-4f * static_cast<float>(i));
  for (const float magnitude : {1e-40f, 1e-30f, 30.0f, 200.0f, 1e10f, 1e30f, infinity}) {
    x.push_back(magnitude);
    x.push_back(-magnitude);
  }
  const std::vector<float> one(x.size(), 1.0f);
  for (const Isa isa : available_isas())
    for (const Activation activation : activations) {
      CAPTURE(name_of(isa), name_of(activation));
      std::vector<float> dx(x.size(), 0.0f);
      training_kernels(isa).activate_backward(activation, x.data(), one.data(), static_cast<int>(x.size()), dx.data());
      const auto expected = [&](std::size_t i) {
        const double v = std::clamp(double(x[i]), -1e3, 1e3);  // constant beyond
        return derivative_in_double(activation, v);
      };
      CHECK(worst_error(dx, expected) < 3e-7);
    }
}

TEST_CASE("activate_backward adds dy · derivative, at any place of a row, and keeps NaN") {
  for (const Isa isa : available_isas())
    for (const Activation activation : activations)
      for (const std::size_t count : {1, 7, 16, 17, 37, 70, 577}) {
        CAPTURE(name_of(isa), name_of(activation), count);
        std::vector<float> x = random_numbers(count, 1), dy = random_numbers(count, 2);
        const std::vector<float> start = random_numbers(count + 1, 3);
        std::vector<float> dx = start;
        const auto run = [&](std::size_t begin, std::size_t end) {
          training_kernels(isa).activate_backward(activation, x.data() + begin, dy.data() + begin,
                                                  static_cast<int>(end - begin), dx.data() + begin);
        };
        run(0, count);
        CHECK(dx[count] == start[count]);
        const std::vector<float> whole = dx;
        dx.pop_back();
        CHECK(worst_error(
                  dx, [&](std::size_t i) { return start[i] + dy[i] * derivative_in_double(activation, x[i]); }) < 3e-6);
        dx = start;
        run(0, count / 2);
        run(count / 2, count);
        CHECK(same_bits(dx, whole));

        dy[count / 2] = not_a_number;
        run(0, count);
        for (std::size_t i = 0; i < count; ++i) CHECK(std::isnan(dx[i]) == (i == count / 2));
        if (activation == Activation::identity || activation == Activation::relu) continue;  // a constant at NaN
        x[0] = not_a_number;
        run(0, 1);
        CHECK(std::isnan(dx[0]));
      }
}

TEST_CASE("gate is a product, and its gradient agrees with double") {
  for (const Isa isa : available_isas())
    for (const Activation activation : activations)
      for (const std::size_t count : {1, 7, 16, 17, 37, 70, 577}) {
        CAPTURE(name_of(isa), name_of(activation), count);
        const std::vector<float> gate = random_numbers(count, 1), up = random_numbers(count, 2),
                                 dy = random_numbers(count, 3), start = random_numbers(count, 4);
        std::vector<float> y(count), dgate = start, dup = start;
        const int n = static_cast<int>(count);
        training_kernels(isa).gate(activation, gate.data(), up.data(), n, y.data());
        std::vector<float> activated(count);
        kernels(isa).activate(activation, gate.data(), n, activated.data());
        for (std::size_t i = 0; i < count; ++i) CHECK(y[i] == activated[i] * up[i]);
        training_kernels(isa).gate_backward(activation, gate.data(), up.data(), dy.data(), n, dgate.data(), dup.data());
        CHECK(worst_error(dgate, [&](std::size_t i) {
                return start[i] + double(dy[i]) * up[i] * derivative_in_double(activation, gate[i]);
              }) < 6e-6);
        CHECK(worst_error(dup, [&](std::size_t i) { return start[i] + double(dy[i]) * activated[i]; }) < 1e-6);
      }
}

namespace {

/// A norm of `rows` rows and its gradients.
struct Norm {
  static constexpr int gap = 3;
  Norm(bool centers, int row_count, int row_width)
      : is_layer_norm(centers),
        rows(row_count),
        width(row_width),
        stride(row_width + gap),
        x(random_numbers(std::size_t(rows) * stride, 1)),
        dy(random_numbers(std::size_t(rows) * stride, 2)),
        start(random_numbers(std::size_t(rows) * stride, 3)),
        weight(random_numbers(std::size_t(width), 4)) {
    for (float& number : x) number = 2 * number + 3;
  }

  struct Result {
    std::vector<float> dx, dweight, dbias;
  };
  /// The gradients of the rows [begin, end).
  Result run(Isa isa, int begin, int end) const {
    Result r{row_range(start, begin, end, stride), std::vector<float>(weight.size(), not_a_number),
             std::vector<float>(weight.size(), not_a_number)};
    const NormBackwardArgs args = arguments(begin, end, r);
    (is_layer_norm ? training_kernels(isa).layer_norm_backward : training_kernels(isa).rms_norm_backward)(args);
    return r;
  }
  NormBackwardArgs arguments(int begin, int end, Result& r) const {
    return {.x = x.data() + std::ptrdiff_t{begin} * stride,
            .x_stride = stride,
            .rows = end - begin,
            .width = width,
            .weight = weight.data(),
            .epsilon = 1e-5f,
            .dy = dy.data() + std::ptrdiff_t{begin} * stride,
            .dy_stride = stride,
            .dx = r.dx.data(),
            .dx_stride = stride,
            .dweight = r.dweight.data(),
            .dbias = is_layer_norm ? r.dbias.data() : nullptr};
  }

  /// The largest error of each gradient as a multiple of √width or √rows · 2⁻²⁴ · (the magnitude of the terms).
  double relative_error(const Result& r) const {
    double worst = 0;
    std::vector<double> dweight(weight.size()), dweight_size(weight.size()), dbias(weight.size()),
        dbias_size(weight.size());
    const auto check = [&](double value, double expected, double allowed) {
      const double error = std::fabs(value - expected) / (0x1p-24 * allowed);
      worst = std::isnan(error) ? infinity : std::max(worst, error);
    };
    for (int row = 0; row < rows; ++row) {
      const float *xs = &x[std::size_t(row) * stride], *dys = &dy[std::size_t(row) * stride];
      double mean = 0, variance = 0, x_max = 0;
      for (int i = 0; i < width && is_layer_norm; ++i) mean += xs[i] / double(width);
      for (int i = 0; i < width; ++i) variance += (xs[i] - mean) * (xs[i] - mean) / width;
      const double s = 1 / std::sqrt(variance + double(1e-5f));
      double g_mean = 0, correlation = 0, g_max = 0, standard_max = 1;
      for (int i = 0; i < width; ++i) {
        const double g = double(dys[i]) * weight[i], standard = (xs[i] - mean) * s;
        g_mean += is_layer_norm ? g / width : 0;
        correlation += g * standard / width;
        g_max = std::max(g_max, std::fabs(g));
        x_max = std::max(x_max, std::fabs(double(xs[i])));
        standard_max = std::max(standard_max, std::fabs(standard));
      }
      const double input_error = 1 + s * x_max;  // of x̂, from that of the mean
      for (int i = 0; i < width; ++i) {
        const double g = double(dys[i]) * weight[i], standard = (xs[i] - mean) * s;
        check(r.dx[std::size_t(row) * stride + i],
              start[std::size_t(row) * stride + i] + s * (g - g_mean - standard * correlation),
              std::sqrt(width) * (4 + s * g_max * standard_max * standard_max * input_error));
        dweight[i] += dys[i] * standard;
        dweight_size[i] += std::fabs(dys[i]) * standard_max * input_error;
        dbias[i] += dys[i];
        dbias_size[i] += std::fabs(dys[i]);
      }
      for (int i = width; i < stride; ++i)
        if (r.dx[std::size_t(row) * stride + i] != start[std::size_t(row) * stride + i]) worst = infinity;
    }
    for (int i = 0; i < width; ++i) {
      check(r.dweight[i], dweight[i], std::sqrt(rows) * dweight_size[i]);
      if (is_layer_norm) check(r.dbias[i], dbias[i], std::sqrt(rows) * dbias_size[i]);
    }
    return worst;
  }

  bool is_layer_norm;
  int rows, width, stride;
  std::vector<float> x, dy, start, weight;
};

}  // namespace

TEST_CASE("gradients of norms agree with double") {
  for (const Isa isa : available_isas())
    for (const bool is_layer_norm : {false, true})
      for (const int rows : {1, 2, 5, 64})
        for (const int width : {1, 2, 7, 15, 16, 17, 64, 65, 70, 577}) {
          CAPTURE(name_of(isa), is_layer_norm, rows, width);
          const Norm norm(is_layer_norm, rows, width);
          CHECK(norm.relative_error(norm.run(isa, 0, rows)) < 4);
        }
}

TEST_CASE("gradients of norms do not depend on how rows are split, nor on what is wanted") {
  for (const Isa isa : available_isas())
    for (const bool is_layer_norm : {false, true}) {
      const Norm norm(is_layer_norm, 21, 70);
      const Norm::Result whole = norm.run(isa, 0, 21);
      for (int begin = 0; begin < 21; begin += 4) {
        const int end = std::min(21, begin + 4);
        CHECK(same_bits(norm.run(isa, begin, end).dx, row_range(whole.dx, begin, end, norm.stride)));
      }
      for (const bool wants_dx : {false, true}) {
        Norm::Result part{norm.start, std::vector<float>(70), std::vector<float>(70)};
        NormBackwardArgs args = norm.arguments(0, 21, part);
        if (wants_dx)
          args.dweight = args.dbias = nullptr;
        else
          args.dx = nullptr;
        (is_layer_norm ? training_kernels(isa).layer_norm_backward : training_kernels(isa).rms_norm_backward)(args);
        CHECK(same_bits(part.dx, wants_dx ? whole.dx : norm.start));
        CHECK((wants_dx || same_bits(part.dweight, whole.dweight)));
      }
    }
}

TEST_CASE("gradients of norms keep NaN in its row") {
  for (const Isa isa : available_isas())
    for (const bool is_layer_norm : {false, true}) {
      Norm norm(is_layer_norm, 5, 20);
      norm.x[2 * std::size_t(norm.stride) + 7] = not_a_number;
      const Norm::Result r = norm.run(isa, 0, 5);
      for (int row = 0; row < 5; ++row) CHECK(std::isnan(r.dx[std::size_t(row) * norm.stride + 3]) == (row == 2));
      CHECK(std::isnan(r.dweight[3]));
    }
}

TEST_CASE("cross_entropy agrees with double") {
  for (const Isa isa : available_isas())
    for (const int width : {1, 2, 7, 15, 16, 17, 64, 70, 577, 32003})
      for (const float smoothing : {0.0f, 0.1f})
        for (const int label : {0, width / 2, width - 1}) {
          CAPTURE(name_of(isa), width, smoothing, label);
          std::vector<float> row = random_numbers(std::size_t(width), 1);
          for (float& logit : row) logit *= 4;
          const std::vector<float> logits = row;
          const float scale = 0.125f;
          const double loss = training_kernels(isa).cross_entropy(row.data(), width, label, smoothing, scale);
          double highest = -1e300, total = 0, expected = 0;
          for (const float logit : logits) highest = std::max(highest, double(logit));
          for (const float logit : logits) total += std::exp(logit - highest);
          const auto target = [&](std::size_t i) {
            return (int(i) == label ? 1 - double(smoothing) : 0) + double(smoothing) / width;
          };
          const auto log_probability = [&](std::size_t i) { return logits[i] - highest - std::log(total); };
          for (std::size_t i = 0; i < logits.size(); ++i) expected -= target(i) * log_probability(i);
          CHECK(std::fabs(loss - expected) < 1e-6 * (1 + highest));
          CHECK(worst_error(row, [&](std::size_t i) { return scale * (std::exp(log_probability(i)) - target(i)); }) <
                2e-7 * scale * (1 + highest));
        }
}

TEST_CASE("cross_entropy handles extremes") {
  for (const Isa isa : available_isas()) {
    std::vector<float> row = {1e4f, -1e4f, -infinity, 1e4f};
    CHECK(training_kernels(isa).cross_entropy(row.data(), 4, 0, 0, 1) == Approx(std::log(2.0)));
    CHECK(row == std::vector<float>{-0.5f, 0, 0, 0.5f});
    row = {0, not_a_number, 0};
    CHECK(std::isnan(training_kernels(isa).cross_entropy(row.data(), 3, 0, 0, 1)));
    for (const float number : row) CHECK(std::isnan(number));
  }
}

TEST_CASE("AVX2 and AVX-512 give the same gradients of rows") {
  if (detected_isa() < Isa::avx512) return;
  for (const bool is_layer_norm : {false, true}) {
    const Norm norm(is_layer_norm, 64, 577);
    const Norm::Result a = norm.run(Isa::avx2, 0, 64), b = norm.run(Isa::avx512, 0, 64);
    CHECK(same_bits(a.dx, b.dx));
    CHECK(same_bits(a.dweight, b.dweight));
    CHECK((!is_layer_norm || same_bits(a.dbias, b.dbias)));
  }
  std::vector<float> x = random_numbers(10007, 1), dy = random_numbers(10007, 2), rows[2];
  for (float& number : x) number *= 5;
  for (const Isa isa : {Isa::avx2, Isa::avx512}) {
    std::vector<float>& all = rows[isa == Isa::avx512];
    for (const Activation activation : activations) {
      std::vector<float> dgate(x.size()), dup(x.size());
      training_kernels(isa).gate_backward(activation, x.data(), dy.data(), dy.data(), 10007, dgate.data(), dup.data());
      all.insert(all.end(), dgate.begin(), dgate.end());
      all.insert(all.end(), dup.begin(), dup.end());
    }
    all.insert(all.end(), x.begin(), x.end());
    training_kernels(isa).cross_entropy(all.data(), 10007, 5, 0.1f, 1);
  }
  CHECK(same_bits(rows[0], rows[1]));
}

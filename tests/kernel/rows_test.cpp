#include <cmath>
#include <functional>
#include <limits>

#include "catch.hpp"
#include "kernel/kernel_testing.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr int widths[] = {1, 2, 7, 15, 16, 17, 63, 64, 65, 100, 577, 1024};

/// The largest |y - expected| / (|expected| + floor).
double worst_error(const std::vector<float>& y, const std::function<double(std::size_t)>& expected, double floor) {
  double worst = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double truth = expected(i);
    const double error = std::fabs(y[i] - truth) / (std::fabs(truth) + floor);
    worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
  }
  return worst;
}

/// Numbers from -limit to limit, evenly.
std::vector<float> grid(float limit, int count) {
  std::vector<float> numbers;
  for (int i = 0; i <= count; ++i)
    numbers.push_back(limit * (2.0f * static_cast<float>(i) / static_cast<float>(count) - 1));
  return numbers;
}

std::vector<float> activate(Isa isa, Activation activation, const std::vector<float>& x) {
  std::vector<float> y(x.size());
  kernels(isa).activate(activation, x.data(), static_cast<int>(x.size()), y.data());
  return y;
}

}  // namespace

TEST_CASE("layer_norm and rms_norm agree with double") {
  for (const Isa isa : available_isas())
    for (const int width : widths) {
      CAPTURE(name_of(isa), width);
      const int rows = 3;
      std::vector<float> x = random_numbers(std::size_t(rows) * width, 1);
      for (float& number : x) number = 3 * number + 100;  // variance far below the squared mean
      const std::vector<float> weight = random_numbers(std::size_t(width), 2),
                               bias = random_numbers(std::size_t(width), 3);
      std::vector<float> y(x.size());
      const NormArgs args{.x = x.data(),
                          .x_stride = width,
                          .rows = rows,
                          .width = width,
                          .weight = weight.data(),
                          .bias = bias.data(),
                          .epsilon = 1e-5f,
                          .y = y.data(),
                          .y_stride = width};
      const auto moment = [&](std::size_t row, double center, int power) {
        double sum = 0;
        for (int i = 0; i < width; ++i) sum += std::pow(x[row * width + i] - center, power);
        return sum / width;
      };
      kernels(isa).layer_norm(args);
      CHECK(worst_error(
                y,
                [&](std::size_t i) {
                  const double mean = moment(i / width, 0, 1), deviation = std::sqrt(moment(i / width, mean, 2) + 1e-5);
                  return (x[i] - mean) / deviation * weight[i % width] + bias[i % width];
                },
                1) < (width < 3 ? 3e-3 : 2e-5));
      kernels(isa).rms_norm(args);
      CHECK(worst_error(
                y, [&](std::size_t i) { return x[i] / std::sqrt(moment(i / width, 0, 2) + 1e-5) * weight[i % width]; },
                1e-6) < 5e-7);
      std::vector<float> row(x.begin() + width, x.begin() + 2 * width), whole(y.begin() + width, y.begin() + 2 * width);
      NormArgs one = args;
      one.x = one.y = row.data();
      one.rows = 1;
      kernels(isa).rms_norm(one);
      CHECK(same_bits(row, whole));
    }
}

TEST_CASE("activations agree with double") {
  const std::vector<float> x = grid(20, 200001);
  const auto gelu = [](double v) { return 0.5 * v * std::erfc(-v / std::sqrt(2.0)); };
  const auto gelu_tanh = [](double v) {
    return 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
  };
  const auto sigmoid_times = [](double slope) { return [slope](double v) { return v / (1 + std::exp(-slope * v)); }; };
  for (const Isa isa : available_isas()) {
    const auto error = [&](Activation activation, const std::function<double(double)>& truth, double floor) {
      return worst_error(
          activate(isa, activation, x), [&](std::size_t i) { return truth(x[i]); }, floor);
    };
    CAPTURE(name_of(isa));
    CHECK(error(Activation::gelu, gelu, 1) < 2e-7);
    CHECK(error(Activation::gelu_tanh, gelu_tanh, 1) < 2e-7);
    CHECK(error(Activation::quick_gelu, sigmoid_times(1.702), 1e-6) < 5e-6);
    CHECK(error(Activation::silu, sigmoid_times(1), 1e-6) < 3e-6);
    CHECK(error(
              Activation::relu, [](double v) { return v > 0 ? v : 0; }, 1) == 0);
    CHECK(error(
              Activation::identity, [](double v) { return v; }, 1) == 0);
  }
}

TEST_CASE("activations keep NaN of any payload, and do not depend on the position in a row") {
  const std::uint32_t payload = 0x7fc00123;
  float nan = 0;
  std::memcpy(&nan, &payload, sizeof nan);
  for (const Isa isa : available_isas())
    for (const Activation activation : {Activation::identity, Activation::gelu, Activation::gelu_tanh,
                                        Activation::quick_gelu, Activation::silu, Activation::relu}) {
      CAPTURE(name_of(isa), name_of(activation));
      std::vector<float> x = random_numbers(37, 1);
      x[3] = x[36] = nan;
      const std::vector<float> y = activate(isa, activation, x);
      for (std::size_t i = 0; i < x.size(); ++i) {
        CHECK(std::isnan(y[i]) == std::isnan(x[i]));
        if (!std::isnan(y[i])) CHECK(activate(isa, activation, {x[i]})[0] == y[i]);
      }
      const float infinity = std::numeric_limits<float>::infinity();
      CHECK(activate(isa, activation, {infinity})[0] == infinity);
    }
}

TEST_CASE("rope rotates the pairs of every head") {
  for (const Isa isa : available_isas())
    for (const int head_dim : {2, 10, 64, 80, 104}) {
      CAPTURE(name_of(isa), head_dim);
      const int heads = 3, half = head_dim / 2;
      std::vector<float> cos, sin;
      for (int i = 0; i < half; ++i) {
        cos.push_back(static_cast<float>(std::cos(0.3 + i)));
        sin.push_back(static_cast<float>(std::sin(0.3 + i)));
      }
      const std::vector<float> x = random_numbers(std::size_t(heads) * head_dim, 1);
      std::vector<float> y = x;
      kernels(isa).rope(y.data(), heads, head_dim, cos.data(), sin.data());
      CHECK(worst_error(
                y,
                [&](std::size_t i) {
                  const int j = static_cast<int>(i) % head_dim, angle = j % half;
                  const double other = j < half ? -double(x[i + half]) : x[i - half];
                  return double(x[i]) * cos[angle] + other * sin[angle];
                },
                1) < 2e-7);
    }
}

TEST_CASE("AVX2 and AVX-512 give the same rows") {
  if (detected_isa() < Isa::avx512) return;
  const std::vector<float> x = grid(30, 10006);
  const int width = static_cast<int>(x.size());
  for (const Activation activation :
       {Activation::gelu, Activation::gelu_tanh, Activation::quick_gelu, Activation::silu})
    CHECK(same_bits(activate(Isa::avx2, activation, x), activate(Isa::avx512, activation, x)));
  const std::vector<float> weight = random_numbers(x.size(), 1), bias = random_numbers(x.size(), 2);
  std::vector<float> results[2];
  for (const Isa isa : {Isa::avx2, Isa::avx512}) {
    std::vector<float> y(x.size());
    std::vector<float>& all = results[isa == Isa::avx512];
    const NormArgs args{.x = x.data(),
                        .x_stride = width,
                        .rows = 1,
                        .width = width,
                        .weight = weight.data(),
                        .bias = bias.data(),
                        .epsilon = 1e-5f,
                        .y = y.data(),
                        .y_stride = width};
    kernels(isa).layer_norm(args);
    all.insert(all.end(), y.begin(), y.end());
    kernels(isa).rms_norm(args);
    all.insert(all.end(), y.begin(), y.end());
    kernels(isa).rope(y.data(), 1, width - width % 2, weight.data(), bias.data());
    all.insert(all.end(), y.begin(), y.end());
  }
  CHECK(same_bits(results[0], results[1]));
}

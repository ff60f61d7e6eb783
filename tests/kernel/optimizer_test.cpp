#include <cmath>
#include <limits>

#include "tessera/kernel/training_kernels.hpp"

#include "catch.hpp"
#include "kernel/kernel_testing.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

struct Parameters {
  explicit Parameters(std::size_t count)
      : value(random_numbers(count, 1)), first_moment(count, 0.0f), second_moment(count, 0.0f) {}
  AdamwArgs args(const std::vector<float>& gradient) {
    return {.value = value.data(),
            .gradient = gradient.data(),
            .first_moment = first_moment.data(),
            .second_moment = second_moment.data(),
            .count = static_cast<std::ptrdiff_t>(value.size()),
            .learning_rate = 1e-2,
            .weight_decay = 0.1,
            .gradient_scale = 0.7f};
  }
  std::vector<float> value, first_moment, second_moment;
};

/// torch.optim.AdamW in double.
void adamw_in_double(const AdamwArgs& a, double gradient, double& value, double& first, double& second) {
  gradient *= double(a.gradient_scale);
  value *= 1 - a.learning_rate * a.weight_decay;
  first = a.beta1 * first + (1 - a.beta1) * gradient;
  second = a.beta2 * second + (1 - a.beta2) * gradient * gradient;
  const double t = static_cast<double>(a.step);
  value -= a.learning_rate / (1 - std::pow(a.beta1, t)) * first /
           (std::sqrt(second / (1 - std::pow(a.beta2, t))) + a.epsilon);
}

}  // namespace

// Printed with float.hex() by torch 2.13 on a CPU with AVX2:
//   torch.manual_seed(3); p = Parameter(randn(5)); opt = AdamW([p], lr=1e-2, weight_decay=0.1, foreach=False)
//   three times: p.grad = randn(5); p.grad.mul_(torch.tensor(0.7)); opt.step()
TEST_CASE("adamw has the bits of torch.optim.AdamW") {
  const std::vector<float> gradients[] = {
      {-0x1.5e463cp+0f, 0x1.5998500p-2f, 0x1.02d87ep+0f, -0x1.6f67eap+0f, 0x1.f471fp-1f},
      {0x1.0b4a22p-1f, 0x1.3ce81cp+0f, -0x1.bab184p-1f, 0x1.3222cap-2f, 0x1.ad47a8p-2f},
      {-0x1.471554p-4f, 0x1.da5286p-1f, 0x1.a1a07cp-1f, 0x1.fb12d4p-2f, -0x1.50856cp-3f}};
  for (const Isa isa : available_isas()) {
    if (isa == Isa::scalar) continue;  // torch fuses multiply-adds
    Parameters p(5);
    p.value = {0x1.9b47p-1f, 0x1.660f0cp-3f, 0x1.6c744cp-4f, -0x1.3a394p-1f, 0x1.7a539ep-5f};
    for (int step = 1; step <= 3; ++step) {
      AdamwArgs args = p.args(gradients[step - 1]);
      args.step = step;
      training_kernels(isa).adamw(args);
    }
    CHECK(p.value ==
          std::vector<float>{0x1.a29a34p-1f, 0x1.2b1e32p-3f, 0x1.331366p-4f, -0x1.30c044p-1f, 0x1.5841c2p-6f});
    CHECK(p.first_moment ==
          std::vector<float>{-0x1.9be6cep-5f, 0x1.4bb8c2p-3f, 0x1.eb2822p-5f, -0x1.c8bc3cp-6f, 0x1.201146p-4f});
    CHECK(p.second_moment ==
          std::vector<float>{0x1.13c992p-10f, 0x1.417d02p-10f, 0x1.38745cp-10f, 0x1.33033cp-10f, 0x1.28fc6p-11f});
  }
}

TEST_CASE("adamw agrees with double, for both forms of torch's lerp") {
  for (const Isa isa : available_isas())
    for (const double beta1 : {0.9, 0.3})
      for (const std::size_t count : {1, 15, 16, 17, 100}) {
        Parameters p(count);
        std::vector<double> value(p.value.begin(), p.value.end()), first(count), second(count);
        for (int step = 1; step <= 10; ++step) {
          const std::vector<float> gradient = random_numbers(count, 100u + step);
          AdamwArgs args = p.args(gradient);
          args.step = step;
          args.beta1 = beta1;
          training_kernels(isa).adamw(args);
          for (std::size_t i = 0; i < count; ++i) adamw_in_double(args, gradient[i], value[i], first[i], second[i]);
        }
        for (std::size_t i = 0; i < count; ++i) {
          CAPTURE(name_of(isa), beta1, count, i);
          CHECK(std::fabs(p.value[i] - value[i]) < 1e-6);
          CHECK(std::fabs(p.first_moment[i] - first[i]) < 1e-6);
          CHECK(std::fabs(p.second_moment[i] - second[i]) < 1e-6 * second[i]);
        }
      }
}

TEST_CASE("a step of adamw does not depend on how the array is split, and keeps NaN in its place") {
  const std::size_t count = 77;
  std::vector<float> gradient = random_numbers(count, 2);
  gradient[40] = std::numeric_limits<float>::quiet_NaN();
  for (const Isa isa : available_isas()) {
    Parameters whole(count), split(count);
    training_kernels(isa).adamw(whole.args(gradient));
    for (std::ptrdiff_t begin = 0; begin < 77; begin += 11) {
      AdamwArgs args = split.args(gradient);
      args.value += begin;
      args.gradient += begin;
      args.first_moment += begin;
      args.second_moment += begin;
      args.count = 11;
      training_kernels(isa).adamw(args);
    }
    CHECK(same_bits(whole.value, split.value));
    CHECK(same_bits(whole.first_moment, split.first_moment));
    CHECK(same_bits(whole.second_moment, split.second_moment));
    for (std::size_t i = 0; i < count; ++i) CHECK(std::isnan(whole.value[i]) == (i == 40));
  }
}

TEST_CASE("sum_of_squares agrees with long double and is the same on every level") {
  for (const std::size_t count : {0, 1, 15, 16, 17, 70, 577, 100001}) {
    std::vector<float> x = random_numbers(count, 1);
    if (count > 0) x[0] = 1e30f;  // its square is no float
    long double expected = 0;
    for (const float number : x) expected += static_cast<long double>(number) * number;
    const double sum = training_kernels(Isa::scalar).sum_of_squares(x.data(), static_cast<std::ptrdiff_t>(count));
    CHECK(std::fabs(sum - static_cast<double>(expected)) <= 1e-13 * static_cast<double>(expected));
    for (const Isa isa : available_isas())
      CHECK(training_kernels(isa).sum_of_squares(x.data(), static_cast<std::ptrdiff_t>(count)) == sum);
    if (count == 0) continue;
    x.back() = std::numeric_limits<float>::quiet_NaN();
    for (const Isa isa : available_isas())
      CHECK(std::isnan(training_kernels(isa).sum_of_squares(x.data(), static_cast<std::ptrdiff_t>(count))));
  }
}

TEST_CASE("scale_add adds a multiple") {
  for (const Isa isa : available_isas())
    for (const std::size_t count : {1, 15, 16, 17, 70, 577}) {
      const std::vector<float> x = random_numbers(count, 1);
      const std::vector<float> start = random_numbers(count + 1, 2);
      std::vector<float> y = start;
      training_kernels(isa).scale_add(0.3f, x.data(), static_cast<std::ptrdiff_t>(count), y.data());
      for (std::size_t i = 0; i < count; ++i) {
        const double expected = start[i] + double(0.3f) * x[i];
        CHECK(std::fabs(y[i] - expected) <= 0x1p-23 * (std::fabs(expected) + std::fabs(x[i])));
      }
      CHECK(y[count] == start[count]);
    }
}

TEST_CASE("AVX2 and AVX-512 give the same step of adamw") {
  if (detected_isa() < Isa::avx512) return;
  const std::vector<float> gradient = random_numbers(1000, 2);
  Parameters a(1000), b(1000);
  training_kernels(Isa::avx2).adamw(a.args(gradient));
  training_kernels(Isa::avx512).adamw(b.args(gradient));
  CHECK(same_bits(a.value, b.value));
}

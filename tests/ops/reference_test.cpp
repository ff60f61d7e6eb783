#include "tessera/ops/reference.hpp"

#include "ops/cases.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

using Values = std::vector<double>;

/// Runs an op of the reference whose result is [rows, cols].
template <class Op>
Values result_of(int rows, int cols, Op&& op) {
  Values y(static_cast<std::size_t>(rows) * cols);
  in_planned_workspace(1, [&](Run& run) { op(Yardstick{}, run, dense(y.data(), rows, cols)); });
  return y;
}

/// Numbers as a weight of `rows` rows.
class NumberedWeight {
 public:
  NumberedWeight(int rows, const Values& values)
      : values_(values), place_(rows, static_cast<int>(values.size()) / rows, DType::f64) {
    place_.attach(values_.data());
  }
  operator WeightView() const { return place_; }

 private:
  Values values_;
  Matrix<any_format, dyn, dyn> place_;
};

Mat<const double> mat(int rows, const Values& values) {
  return dense<const double>(values.data(), rows, static_cast<int>(values.size()) / rows);
}

}  // namespace

// What every backend is compared with must itself be right: results by hand.

TEST_CASE("products of the reference by hand") {
  const Values x{1, 2}, residual{10, 20};
  const NumberedWeight w(2, {3, 4, -5, 1}), bias(1, {1, 2});
  CHECK(result_of(1, 2, [&](auto ops, Run& run, auto y) {
          ops.linear(run, mat(1, x), w, {bias, Activation::relu, mat(1, residual)}, y);
        }) == Values{1 * 3 + 2 * 4 + 1 + 10, 20});
  CHECK(result_of(1, 2, [&](auto ops, Run& run, auto y) {
          ops.gated(run, mat(1, x), w, bias, w, {}, Activation::identity, y);
        }) == Values{12 * 11, -1 * -3});
}

TEST_CASE("attention of the reference by hand") {
  const Values q{0, 0, 0, 0}, k{1, 2, 3, 4, 5, 6}, v{1, 10, 2, 20, 6, 60};  // equal scores: the mean of the values
  const auto attend = [&](bool causal) {
    return result_of(2, 2, [&](auto ops, Run& run, auto y) {
      ops.attention(run, mat(2, q), mat(3, k), mat(3, v), {1, 1, 2, 1, causal}, y);
    });
  };
  CHECK(attend(false) == Values{3, 30, 3, 30});
  CHECK(attend(true) == Values{1.5, 15, 3, 30});

  const Values q2{std::log(3.0), 0}, k2{2, 0, 1, 0},
      v2{4, 0, 8, 0};  // scores 2 s log 3 and s log 3, with s = 1: 3 to 1
  const Values y = result_of(1, 2, [&](auto ops, Run& run, auto out) {
    ops.attention(run, mat(1, q2), mat(2, k2), mat(2, v2), {1, 1, 2, 1, false}, out);
  });
  CHECK(y[0] == Approx(0.75 * 4 + 0.25 * 8));
}

TEST_CASE("norms and rotation of the reference by hand") {
  const NumberedWeight gain(1, {2, 3}), shift(1, {10, 20});
  const Values x{1, 3};
  CHECK(result_of(1, 2, [&](auto ops, Run& run, auto y) { ops.layer_norm(run, mat(1, x), gain, shift, 0, y); }) ==
        Values{-1 * 2 + 10, 1 * 3 + 20});
  const Values by_rms = result_of(1, 2, [&](auto ops, Run& run, auto y) { ops.rms_norm(run, mat(1, x), gain, 0, y); });
  CHECK(by_rms[0] == Approx(2 / std::sqrt(5.0)));
  CHECK(by_rms[1] == Approx(9 / std::sqrt(5.0)));

  Values turned{1, 2, 3, 4};  // pairs (1, 3) by a quarter turn and (2, 4) by none
  const Values cos{0, 1}, sin{1, 0};
  Arena arena(0);
  Run run{arena, 1};
  Yardstick{}.rotate(run, dense(turned.data(), 1, 4), 1, mat(1, cos), mat(1, sin));
  CHECK(turned == Values{-3, 2, 1, 4});
}

TEST_CASE("activations of the reference from tables") {
  CHECK(ops::activation(Activation::gelu, 1.0) == Approx(0.8413447460685429));
  CHECK(ops::activation(Activation::gelu_tanh, 1.0) == Approx(0.8411919906082768));
  CHECK(ops::activation(Activation::quick_gelu, 1.0) == Approx(0.8457957659328212));
  CHECK(ops::activation(Activation::silu, 1.0) == Approx(0.7310585786300049));
  CHECK(ops::activation(Activation::relu, -2.0) == 0);
}

TEST_CASE("the reference in float differs from the reference in double by rounding only") {
  ops::Reference<float> reference;
  check_every_op(reference);
}

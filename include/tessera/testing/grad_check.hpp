#pragma once
/// Checks the backward pass of a layer or connector of yours against numerical derivatives of its forward pass:
///
///     MyLayer layer(64, 32);
///     auto report = tessera::testing::grad_check(layer, {.in = 64, .rows = 3});
///     REQUIRE(report.worst < 1e-7);

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "tessera/connect/concept.hpp"
#include "tessera/core/gradients.hpp"
#include "tessera/core/weight_store.hpp"
#include "tessera/layer/concept.hpp"
#include "tessera/model/normal.hpp"
#include "tessera/ops/reference_training.hpp"
#include "tessera/testing/approx.hpp"

namespace tessera::testing {

struct GradCheckOptions {
  int in = 0;                 ///< width of x; 0: that of the layer's in(), if it has one
  int rows = 3;               ///< of x
  int images = 1;             ///< that x holds, for a connector
  int out_rows = 0;           ///< of y; 0: what a connector's tokens() says, else as many as x
  float weight_scale = 0.4f;  ///< fresh weights are normal with this deviation
  std::uint64_t seed = 1;
};

struct GradCheckReport {
  /// Largest |numerical − typed| gradient, divided by the tensor's largest numerical gradient. Infinite if one of them
  /// is not a number.
  double worst = 0;
  std::string where;  ///< the tensor with that difference, and the need
};

namespace detail {

/// The derivative at nodes[2] of the polynomial through five points. Exact nodes matter: a float weight cannot move by
/// exactly h. The error is about h⁴ / 30 of the fifth derivative.
inline double derivative(const std::array<double, 5>& nodes, const std::array<double, 5>& values) {
  double result = 0;
  for (std::size_t i = 0; i < 5; ++i) {
    if (i == 2) continue;
    double slope = 1 / (nodes[i] - nodes[2]);
    for (std::size_t j = 0; j < 5; ++j) {
      if (j != i && j != 2) slope *= (nodes[2] - nodes[j]) / (nodes[i] - nodes[j]);
    }
    result += slope * (values[i] - values[2]);  // the polynomials' slopes sum to zero
  }
  return result;
}

/// d loss / d value, where `value` is restored.
template <class T, class Loss>
double numerical_gradient(T& value, Loss&& loss) {
  const T before = value;
  std::array<double, 5> nodes, values;
  for (std::size_t i = 0; i < 5; ++i) {
    value = static_cast<T>(before + (static_cast<double>(i) - 2) / 2048);
    nodes[i] = static_cast<double>(value);
    values[i] = loss();
  }
  value = before;
  return derivative(nodes, values);
}

template <class L>
class GradCheck {
  using Ops = ops::ReferenceTraining<double>;

 public:
  GradCheck(L& layer, const GradCheckOptions& options)
      : layer_(layer),
        options_(checked(layer, options)),
        random_(options.seed),
        x_(count(options_.rows, options_.in)),
        dy_(count(out_rows(), layer.out())),
        y_(dy_.size()) {
    for (double& value : x_) value = normal(random_);
    for (double& value : dy_) value = normal(random_);
    for_each_param(
        [&](const std::string&, auto& weight) {
          if (weight.dtype() != DType::f32)
            fail("grad_check: weights must be f32, this one is ", name_of(weight.dtype()));
          float* values = reinterpret_cast<float*>(store_.allocate(weight.bytes()));
          for (std::size_t i = 0; i < weight.size(); ++i)
            values[i] = options.weight_scale * static_cast<float>(normal(random_));
          weight.attach(values);
        },
        layer);
    arena_ = plan_workspace(ops_, 1, [&](Context<Ops>& c) { forward_and_backward<Need{true, true}>(c); });
  }

  /// Whether what an image gives depends on the other images of the batch.
  void check_images(GradCheckReport& report) {
    const int each = out_rows() / options_.images, width = layer_.out();
    const Mat<double> together = dense(y_.data(), out_rows(), width);
    std::vector<double> alone(count(each, width));
    infer_images(0, options_.images, together);
    for (int i = 0; i < options_.images; ++i) {
      const Mat<double> y = dense(alone.data(), each, width);
      infer_images(i, 1, y);
      if (relative_error(y, together.rows_at(i * each, each)) > 1e-12)
        report = {std::numeric_limits<double>::infinity(), "y: the images of a batch are mixed"};
    }
  }

  template <Need N>
  void run(GradCheckReport& report) {
    const std::string need = std::string(N.dx ? " dx" : "") + (N.dw ? " dw" : "");
    Gradients<double> gradients(layer_);
    std::vector<double> dx(x_.size());
    TrainingContext<Ops> c(ops_, arena_, gradients, 1);
    dx_ = &dx;
    forward_and_backward<N>(c);
    if (N.dx) compare(x_.data(), dx.data(), dx.size(), "x," + need, report);
    if (!N.dw) return;
    for_each_trainable_param(
        [&](const std::string& name, const auto& weight) {
          float* values = const_cast<float*>(static_cast<const float*>(weight.data()));  // allocated above
          compare(values, gradients(weight).data, weight.size(), name + "," + need, report);
        },
        layer_);
  }

 private:
  static GradCheckOptions checked(const L& layer, GradCheckOptions options) {
    if constexpr (requires { layer.in(); }) {
      if (options.in == 0) options.in = layer.in();
      if (options.in != layer.in()) fail("grad_check: x is ", options.in, " wide, the layer reads ", layer.in());
    }
    if (options.in < 1 || options.rows < 1) fail("grad_check: x is [", options.rows, ", ", options.in, "]");
    if (options.images < 1 || options.rows % options.images != 0)
      fail("grad_check: ", options.rows, " rows of x are no whole number for each of ", options.images, " images");
    if constexpr (requires { layer.tokens(1); }) {
      const int made = options.images * layer.tokens(options.rows / options.images);
      if (options.out_rows == 0) options.out_rows = made;
      if (options.out_rows != made) fail("grad_check: y has ", options.out_rows, " rows, the connector makes ", made);
    }
    if (options.out_rows == 0) options.out_rows = options.rows;
    return options;
  }
  static std::size_t count(int rows, int cols) {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
  }
  int out_rows() const { return options_.out_rows; }

  template <Need N, class Ctx>
  void forward_and_backward(Ctx& c) {
    const Arena::PassScope scope(c.arena);
    const Mat<double> x = c.arena.template mat<double>(options_.rows, options_.in),
                      y = c.arena.template mat<double>(out_rows(), layer_.out()),
                      dx = c.arena.template zeros<double>(options_.rows, options_.in);
    if (!c.arena.counting()) copy<double>(dense<const double>(x_.data(), x.rows, x.cols), x);
    typename L::template Saved<N, double> saved;
    connector_forward<N>(layer_, c, x, options_.images, y, saved);
    if constexpr (requires { c.gradients; }) {
      connector_backward<N>(layer_, c, saved, dense<const double>(dy_.data(), y.rows, y.cols), dx, options_.images);
      copy<double>(dx, dense(dx_->data(), x.rows, x.cols));
    } else {
      const Gradients<double> none(layer_);
      TrainingContext<Ops> training(ops_, c.arena, none, 1);
      connector_backward<N>(layer_, training, saved, dense<const double>(dy_.data(), y.rows, y.cols), dx,
                            options_.images);
    }
  }

  /// Runs `images` images of x, from `first` on.
  void infer_images(int first, int images, Mat<double> y) {
    const Arena::PassScope scope(arena_);
    Context<Ops> c(ops_, arena_, 1);
    const int each = options_.rows / options_.images;
    const Mat<const double> x = dense<const double>(x_.data(), options_.rows, options_.in);
    infer_connector(layer_, c, x.rows_at(first * each, images * each), images, y);
  }

  /// Σ dy ⊙ y, whose gradient the typed backward gives.
  double loss() {
    infer_images(0, options_.images, dense(y_.data(), out_rows(), layer_.out()));
    return std::inner_product(y_.begin(), y_.end(), dy_.begin(), 0.0);
  }

  template <class T>
  void compare(T* values, const double* typed, std::size_t size, const std::string& where, GradCheckReport& report) {
    double largest = 0, difference = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const double numerical = numerical_gradient(values[i], [&] { return loss(); });
      largest = std::max(largest, std::abs(numerical));
      difference = larger_error(difference, std::abs(numerical - typed[i]));
    }
    // A tensor without influence (a key's bias) has gradients that are zero but for rounding.
    const double relative = difference / std::max(largest, 1e-3);
    if (relative > report.worst) report = {relative, where};
  }

  L& layer_;
  GradCheckOptions options_;
  Ops ops_;
  WeightStore store_;
  SplitMix64 random_;
  std::vector<double> x_, dy_, y_;
  std::vector<double>* dx_ = nullptr;
  Arena arena_;
};

}  // namespace detail

/// Gives the f32 layer fresh weights and compares its typed backward, run in double through the reference ops, with
/// central differences in double: for every element of x and of every weight that trains, in every Need. Of several
/// images, none may change what another one gives.
template <class L>
GradCheckReport grad_check(L& layer, const GradCheckOptions& options) {
  detail::GradCheck<L> check(layer, options);
  GradCheckReport report;
  check.template run<Need{.dx = true, .dw = true}>(report);
  check.template run<Need{.dx = true}>(report);
  check.template run<Need{.dw = true}>(report);
  if (options.images > 1) check.check_images(report);
  return report;
}

}  // namespace tessera::testing

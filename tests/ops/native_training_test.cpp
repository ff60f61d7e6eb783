// Every backward op of the native backend against the reference in double, with operands of awkward sizes; and the same
// bits for any number of threads.
#include "tessera/ops/native_training.hpp"

#include <cmath>
#include <functional>
#include <vector>

#include "tessera/core/weight_store.hpp"
#include "tessera/ops/reference_training.hpp"
#include "tessera/testing/approx.hpp"

#include "catch.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

using namespace tessera;

namespace {

using Yardstick = ops::ReferenceTraining<double>;

/// The same random numbers as float and as double. Rows are some elements apart, with NaN between them.
template <class S>
struct Operand {
  std::vector<S> values;
  Mat<S> mat;

  Operand(int rows, int cols, unsigned seed, float scale = 1)
      : values(static_cast<std::size_t>(rows) * (cols + 3), std::numeric_limits<S>::quiet_NaN()),
        mat{values.data(), rows, cols, cols + 3} {
    const std::vector<float> numbers = test::random_numbers(static_cast<std::size_t>(rows) * cols, seed);
    for (int r = 0; r < rows; ++r) {
      for (int c = 0; c < cols; ++c) mat(r, c) = S(scale * numbers[static_cast<std::size_t>(r * cols + c)]);
    }
  }
  Operand(Operand&&) = default;
};

/// A weight in some format, shared by both backends.
struct StoredWeight {
  WeightStore store;
  Matrix<any_format, dyn, dyn> weight;

  StoredWeight(int rows, int cols, DType format, unsigned seed) : weight(rows, cols, format) {
    std::byte* memory = store.allocate(weight.bytes());
    const std::vector<float> numbers = test::random_numbers(weight.size(), seed);
    with_format(format, [&]<class To>(To) {
      convert_numbers<f32, To>(reinterpret_cast<const std::byte*>(numbers.data()), numbers.size(), memory);
    });
    weight.attach(memory);
  }
};

/// Runs call<S>(ops, run), which returns the gradients that it made, for the yardstick and for the native ops with 1, 2
/// and 3 threads on every instruction set. `bound` is that of the relative error of each gradient's norm.
template <class Call>
void check(Call&& call, double bound) {
  const Yardstick yardstick;
  const auto run = [&]<class OpsT>(const OpsT& ops, int threads) {
    Arena counting;
    Run plan{counting, threads};
    call(ops, plan);
    Arena arena(counting.peak());
    Run real{arena, threads};
    return call(ops, real);
  };
  const auto expected = run(yardstick, 1);
  for (const Isa isa : test::available_isas()) {
    const ops::NativeTraining native(isa);
    const auto actual = run(native, 1);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      INFO("gradient " << i << " on " << name_of(isa));
      CHECK(testing::relative_error(actual[i].mat, expected[i].mat) < bound);
    }
    for (const int threads : {2, 3}) {
      const auto again = run(native, threads);
      for (std::size_t i = 0; i < expected.size(); ++i) CHECK(test::same_bits(actual[i].values, again[i].values));
    }
  }
}

template <class OpsT>
using Gradients = std::vector<Operand<typename OpsT::Scalar>>;

/// Gradients that already hold something, of the given shapes.
template <class OpsT>
Gradients<OpsT> filled(const OpsT&, std::initializer_list<std::pair<int, int>> shapes) {
  Gradients<OpsT> result;
  for (const auto& [rows, cols] : shapes) result.emplace_back(rows, cols, static_cast<unsigned>(90 + result.size()));
  return result;
}

template <class OpsT>
using ScalarOf = typename std::remove_cvref_t<OpsT>::Scalar;

}  // namespace

TEST_CASE("the native gradients of a linear layer are the reference's") {
  for (const DType format : {DType::f32, DType::bf16, DType::f16}) {
    for (const auto& sizes : {std::array{1, 3, 5}, {7, 33, 17}, {70, 40, 131}, {300, 130, 64}, {5, 20, 1100}}) {
      const int rows = sizes[0], in = sizes[1], out = sizes[2];
      const StoredWeight w(out, in, format, 3);
      INFO(rows << " rows, " << in << " to " << out);
      check(
          [&](const auto& ops, Run& run) {
            using S = ScalarOf<decltype(ops)>;
            const Operand<S> dy(rows, out, 1), x(rows, in, 2), bias(1, out, 5);
            auto result = filled(ops, {{rows, in}, {out, in}, {1, out}, {rows, out}});
            ops.linear_dx(run, dy.mat, w.weight, result[0].mat);
            ops.linear_dw(run, dy.mat, x.mat, result[1].mat, result[2].mat);
            ops.linear(run, x.mat, w.weight, {.activation = Activation::silu}, result[3].mat);
            return result;
          },
          2e-6);
    }
  }
}

TEST_CASE("the native gradients of attention are the reference's") {
  for (const auto& sizes :
       {std::array{1, 1, 1, 4, 0}, {5, 4, 2, 8, 1}, {110, 3, 3, 20, 0}, {230, 4, 1, 33, 1}, {54, 5, 5, 32, 1}}) {
    const int rows = sizes[0], heads = sizes[1], kv_heads = sizes[2], d = sizes[3], causal = sizes[4];
    const AttentionShape shape{heads, kv_heads, d, 1 / std::sqrt(static_cast<float>(d)), causal != 0};
    const std::array ends{rows / 3 + 1, rows};  // of two sequences
    INFO(rows << " rows, " << heads << " heads of " << d);
    check(
        [&](const auto& ops, Run& run) {
          using S = ScalarOf<decltype(ops)>;
          const Operand<S> q(rows, heads * d, 1), k(rows, kv_heads * d, 2), v(rows, kv_heads * d, 3),
              dy(rows, heads * d, 4);
          auto result = filled(ops, {{rows, heads * d}, {rows, kv_heads * d}, {rows, kv_heads * d}});
          ops.attention_backward(run, q.mat, k.mat, v.mat, shape, Sequences(ends), dy.mat, result[0].mat, result[1].mat,
                                 result[2].mat);
          return result;
        },
        2e-6);
  }
}

TEST_CASE("the native gradients of norms are the reference's") {
  for (const auto& sizes : {std::array{1, 5}, {3, 64}, {130, 100}, {257, 33}}) {
    const int rows = sizes[0], width = sizes[1];
    const StoredWeight gain(1, width, DType::f32, 3);
    INFO(rows << " rows of " << width);
    check(
        [&](const auto& ops, Run& run) {
          using S = ScalarOf<decltype(ops)>;
          const Operand<S> x(rows, width, 1), dy(rows, width, 2);
          auto result = filled(ops, {{rows, width}, {1, width}, {1, width}, {rows, width}, {1, width}, {1, width}});
          ops.layer_norm_backward(run, x.mat, gain.weight, 1e-5f, dy.mat, result[0].mat, result[1].mat, result[2].mat);
          ops.rms_norm_backward(run, x.mat, gain.weight, 1e-5f, dy.mat, result[3].mat, result[4].mat);
          ops.layer_norm_backward(run, x.mat, gain.weight, 1e-5f, dy.mat, {}, result[5].mat, {});
          return result;
        },
        2e-6);
  }
}

TEST_CASE("the native gradients of activations, gates, lookups and sums are the reference's") {
  for (const Activation act :
       {Activation::gelu, Activation::gelu_tanh, Activation::quick_gelu, Activation::silu, Activation::relu}) {
    INFO(name_of(act));
    check(
        [&](const auto& ops, Run& run) {
          using S = ScalarOf<decltype(ops)>;
          const int rows = 37, width = 45;
          const Operand<S> x(rows, width, 1, 2), up(rows, width, 2), dy(rows, width, 3);
          auto result =
              filled(ops, {{rows, width}, {rows, width}, {rows, width}, {rows, width}, {11, width}, {rows, width}});
          ops.activate_backward(run, act, x.mat, dy.mat, result[0].mat);
          ops.gate(run, act, x.mat, up.mat, result[1].mat);
          ops.gate_backward(run, act, x.mat, up.mat, dy.mat, result[2].mat, result[3].mat);
          std::vector<int> ids;
          for (int i = 0; i < rows; ++i) ids.push_back(i * i % 11);
          ops.lookup_dw(run, ids, dy.mat, result[4].mat);
          ops.add(run, dy.mat, result[5].mat);
          return result;
        },
        2e-6);
  }
}

TEST_CASE("the native cross entropy and its gradient are the reference's") {
  for (const float smoothing : {0.0f, 0.1f}) {
    for (const int width : {2, 37, 500}) {
      check(
          [&](const auto& ops, Run& run) {
            using S = ScalarOf<decltype(ops)>;
            const int rows = 9;
            Gradients<std::remove_cvref_t<decltype(ops)>> result;
            result.emplace_back(rows, width, 1, 4.0f);
            result.emplace_back(1, rows, 2);
            std::vector<int> labels;
            for (int i = 0; i < rows; ++i) labels.push_back(i % width);
            ops.cross_entropy(run, result[0].mat, labels, {.scale = 0.25f, .label_smoothing = smoothing},
                              std::span<S>(result[1].mat.data, static_cast<std::size_t>(rows)));
            return result;
          },
          2e-6);
    }
  }
}

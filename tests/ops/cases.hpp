#pragma once
/// One list of cases for every backend, and what rounding may do to them.
///
/// Each case runs in Reference<double> over the same stored weights and in the backend, and the difference of every
/// element is divided by a bound that follows from the operands. With u = 2⁻²⁴, to first order in u:
///
///   product        m = ‖x‖ ‖w‖ + |b| bounds every partial sum, in any order, of k products:      (k + 2) u m
///   activation     derivatives are at most 1.13; a function itself may be off by 16 u |x|:        + 16 u m
///   residual       one more rounding of a sum:                                                   + u (m + |r|)
///   gate           a product of two such factors:                     2 (1.13 (k + 2) + 17) u m_gate m_up
///   attention      scores are off by (d + 3) u S, S = scale ‖q‖ max‖k‖, their distance to the largest (at most 2 S) by
///                  u more, each probability of n by twice that and n + 16 roundings, the last sum by n:
///                  (2 (d + 5) S + 2 n + 16) u max|v|
///   layer norm     mean off by (n + 2) u rms, deviation σ by (n / 2 + 8) u σ:
///                  |w| ((n + 3) rms / σ + (n / 2 + 12) |z|) u + 2 u |y|, z = (x − mean) / σ
///   RMS norm       (n / 2 + 6) u |y|
///   rotation       3 u (|a| + |b|)

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "tessera/format/float_formats.hpp"
#include "tessera/ops/concept.hpp"
#include "tessera/ops/reference.hpp"
#include "tessera/testing/approx.hpp"

#include "catch.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace tessera::test {

using Yardstick = ops::Reference<double>;

/// A matrix whose rows are three elements apart, with NaN between them: an op that reads there spoils its result.
template <class S>
class TestMat {
 public:
  TestMat(int rows, int cols)
      : values_(static_cast<std::size_t>(rows) * (cols + gap), std::numeric_limits<S>::quiet_NaN()),
        rows_(rows),
        cols_(cols) {}

  Mat<S> mat() { return {values_.data(), rows_, cols_, cols_ + gap}; }
  Mat<const S> mat() const { return {values_.data(), rows_, cols_, cols_ + gap}; }
  S& operator()(int r, int c) { return mat()(r, c); }
  S operator()(int r, int c) const { return mat()(r, c); }
  bool gaps_untouched() const {
    for (int r = 0; r < rows_; ++r) {
      for (int c = cols_; c < cols_ + gap; ++c) {
        if (!std::isnan(values_[static_cast<std::size_t>(r) * (cols_ + gap) + c])) return false;
      }
    }
    return true;
  }
  bool same_bits(const TestMat& other) const { return test::same_bits(values_, other.values_); }

 private:
  static constexpr int gap = 3;
  std::vector<S> values_;
  int rows_, cols_;
};

inline TestMat<float> random_mat(int rows, int cols, unsigned seed) {
  TestMat<float> result(rows, cols);
  copy<float>(dense<const float>(random_numbers(static_cast<std::size_t>(rows) * cols, seed).data(), rows, cols),
              result.mat());
  return result;
}

inline TestMat<double> to_double(const TestMat<float>& from) {
  const Mat<const float> source = from.mat();
  TestMat<double> result(source.rows, source.cols);
  for (int r = 0; r < source.rows; ++r) {
    for (int c = 0; c < source.cols; ++c) result(r, c) = static_cast<double>(source(r, c));
  }
  return result;
}

/// Random weights in a format. Backends that keep copies get them once from that format and once, where rounding them
/// is the backend's work, from float32, and never see them again.
class TestWeight {
 public:
  TestWeight() : place_(0, 0) {}
  TestWeight(int rows, int cols, DType format, unsigned seed)
      : place_(rows, cols, format),
        source_(random_numbers(place_.size(), seed)),
        stored_(place_.bytes()),
        odd_(seed % 2 != 0) {
    for (std::size_t i = 0; i < source_.size(); ++i) {
      const float value = source_[i];
      const std::uint16_t half = format == DType::bf16 ? bf16::encode(value) : f16::encode(value);
      if (format == DType::f32) {
        std::memcpy(&stored_[4 * i], &value, 4);
      } else {
        std::memcpy(&stored_[2 * i], &half, 2);
      }
    }
    place_.attach(stored_.data());
  }
  TestWeight(TestWeight&&) = default;

  WeightView row_major() const { return place_.view(); }
  template <class OpsT>
  WeightView matrix_for(OpsT& ops) const {
    WeightView view = place_.view();
    if constexpr (OpsT::keeps_copies) {
      if (!view) return view;
      view.data = nullptr;
      if (odd_) {
        ops.bind(view, DType::f32, source_.data());
      } else {
        ops.bind(view, view.dtype, stored_.data());
      }
    }
    return view;
  }

  double norm_of_row(int row) const {
    double squares = 0;
    for (int c = 0; c < place_.cols(); ++c) squares += std::pow((*this)(row, c), 2);
    return std::sqrt(squares);
  }
  double operator()(int row, int col) const { return ops::detail::element(place_.view(), row, col); }
  /// The size of element `i` of a vector, 0 if it is absent.
  double size_of_element(int i) const { return place_.view() ? std::abs((*this)(0, i)) : 0; }

 private:
  Matrix<any_format, dyn, dyn> place_;
  std::vector<float> source_;
  std::vector<std::byte> stored_;
  bool odd_ = false;
};

/// Runs `call(run)` in a workspace of exactly the size that its counting pass asked for.
template <class Call>
void in_planned_workspace(int threads, Call&& call) {
  Arena counting;
  Run plan{counting, threads};
  call(plan);
  Arena arena(counting.peak());
  Run run{arena, threads};
  call(run);
  CHECK(arena.used() == 0);
}

/// The largest error in units of its bound: above 1 it is no rounding error.
struct WorstError {
  double ratio = 0;
  std::string where;

  template <class Bound>
  void update(const TestMat<float>& actual, const TestMat<double>& expected, const std::string& what, Bound&& bound) {
    const Mat<const double> shape = expected.mat();
    if (!actual.gaps_untouched()) ratio = std::numeric_limits<double>::infinity(), where = what + " wrote between rows";
    for (int r = 0; r < shape.rows; ++r) {
      for (int c = 0; c < shape.cols; ++c) {
        const double error = std::abs(static_cast<double>(actual(r, c)) - expected(r, c));
        const double in_bounds = error == 0 ? 0 : error / (testing::float_roundoff * bound(r, c));
        if (in_bounds <= ratio) continue;
        ratio = std::isnan(in_bounds) ? std::numeric_limits<double>::infinity() : in_bounds;
        where = what + " at (" + std::to_string(r) + ", " + std::to_string(c) + ")";
      }
    }
  }
};

struct ProductCase {
  int rows, in, out;
  DType format;
  Activation act;
  bool bias, residual;

  std::string text() const {
    std::ostringstream text;
    text << "[" << rows << ", " << in << "] to " << out << ", " << name_of(format) << ", " << name_of(act)
         << (bias ? ", bias" : "") << (residual ? ", residual" : "");
    return text.str();
  }
};

/// Every combination of sizes and formats; activations and optional operands take turns.
inline std::vector<ProductCase> product_cases() {
  constexpr Activation acts[] = {Activation::identity,   Activation::gelu, Activation::gelu_tanh,
                                 Activation::quick_gelu, Activation::silu, Activation::relu};
  std::vector<ProductCase> cases;
  for (const DType format : {DType::f32, DType::bf16, DType::f16}) {
    for (const int rows : {1, 2, 7, 40}) {
      for (const int in : {1, 3, 17, 33, 80}) {
        for (const int out : {1, 3, 17, 33, 131}) {
          const std::size_t turn = cases.size();
          cases.push_back({rows, in, out, format, acts[turn % 6], turn / 6 % 2 == 0, turn / 12 % 2 == 0});
        }
      }
    }
    cases.push_back({5, 2100, 19, format, Activation::identity, true, true});
  }
  return cases;
}

template <class OpsT>
WorstError linear_error(OpsT& ops) {
  WorstError worst;
  unsigned seed = 0;
  for (const ProductCase& cs : product_cases()) {
    const TestMat<float> x = random_mat(cs.rows, cs.in, ++seed), residual = random_mat(cs.rows, cs.out, ++seed);
    const TestWeight w(cs.out, cs.in, cs.format, ++seed),
        bias = cs.bias ? TestWeight(1, cs.out, DType::f32, ++seed) : TestWeight();
    const bool in_place = seed % 3 == 0;
    TestMat<float> y = in_place ? residual : TestMat<float>(cs.rows, cs.out);
    const WeightView matrix = w.matrix_for(ops);
    in_planned_workspace(2, [&](Run& run) {
      const Mat<const float> added = !cs.residual ? Mat<const float>{} : in_place ? y.mat() : residual.mat();
      ops.linear(run, x.mat(), matrix, {bias.row_major(), cs.act, added}, y.mat());
    });

    const TestMat<double> x2 = to_double(x), residual2 = to_double(residual);
    TestMat<double> expected(cs.rows, cs.out);
    in_planned_workspace(1, [&](Run& run) {
      const Mat<const double> added = cs.residual ? residual2.mat() : Mat<const double>{};
      Yardstick{}.linear(run, x2.mat(), w.row_major(), {bias.row_major(), cs.act, added}, expected.mat());
    });
    worst.update(y, expected, cs.text(), [&](int r, int c) {
      const double m = testing::norm(x.mat().rows_at(r, 1)) * w.norm_of_row(c) + bias.size_of_element(c);
      return (1.13 * (cs.in + 2) + 16 + 1) * m + (cs.residual ? std::abs(residual(r, c)) : 0);
    });
  }
  return worst;
}

template <class OpsT>
WorstError gated_error(OpsT& ops) {
  WorstError worst;
  unsigned seed = 1000;
  for (const ProductCase& cs : product_cases()) {
    if (cs.residual) continue;  // a gated product has none
    const TestMat<float> x = random_mat(cs.rows, cs.in, ++seed);
    const TestWeight gate(cs.out, cs.in, cs.format, ++seed), up(cs.out, cs.in, cs.format, ++seed);
    const TestWeight gate_bias = cs.bias ? TestWeight(1, cs.out, DType::f32, ++seed) : TestWeight();
    const TestWeight up_bias = cs.bias ? TestWeight(1, cs.out, DType::f32, ++seed) : TestWeight();
    TestMat<float> y(cs.rows, cs.out);
    const WeightView gate_matrix = gate.matrix_for(ops), up_matrix = up.matrix_for(ops);
    in_planned_workspace(2, [&](Run& run) {
      ops.gated(run, x.mat(), gate_matrix, gate_bias.row_major(), up_matrix, up_bias.row_major(), cs.act, y.mat());
    });

    const TestMat<double> x2 = to_double(x);
    TestMat<double> expected(cs.rows, cs.out);
    in_planned_workspace(1, [&](Run& run) {
      Yardstick{}.gated(run, x2.mat(), gate.row_major(), gate_bias.row_major(), up.row_major(), up_bias.row_major(),
                        cs.act, expected.mat());
    });
    worst.update(y, expected, "gated " + cs.text(), [&](int r, int c) {
      const double length = testing::norm(x.mat().rows_at(r, 1));
      const double m_gate = length * gate.norm_of_row(c) + gate_bias.size_of_element(c);
      const double m_up = length * up.norm_of_row(c) + up_bias.size_of_element(c);
      return 2 * (1.13 * (cs.in + 2) + 17) * m_gate * m_up;
    });
  }
  return worst;
}

struct AttentionCase {
  int queries, past, heads, kv_heads, head_dim;
  bool causal;

  std::string text() const {
    std::ostringstream text;
    text << queries << " queries after " << past << ", heads " << heads << "/" << kv_heads << " of " << head_dim
         << (causal ? ", causal" : "");
    return text.str();
  }
};

inline std::vector<AttentionCase> attention_cases() {
  std::vector<AttentionCase> cases;
  for (const int head_dim : {8, 10, 12, 64, 80}) {
    for (const auto& [heads, kv_heads] : {std::pair{1, 1}, {3, 3}, {4, 2}, {6, 1}}) {
      for (const int queries : {1, 2, 17, 40}) {
        cases.push_back({queries, 0, heads, kv_heads, head_dim, false});
        for (const int past : {0, 1, 37}) cases.push_back({queries, past, heads, kv_heads, head_dim, true});
      }
    }
  }
  cases.push_back({150, 0, 2, 2, 16, false});
  cases.push_back({150, 70, 2, 1, 16, true});
  return cases;
}

template <class OpsT>
WorstError attention_error(OpsT& ops) {
  WorstError worst;
  unsigned seed = 2000;
  for (const AttentionCase& cs : attention_cases()) {
    const int d = cs.head_dim, keys = cs.past + cs.queries;
    const TestMat<float> q = random_mat(cs.queries, cs.heads * d, ++seed),
                         k = random_mat(keys, cs.kv_heads * d, ++seed), v = random_mat(keys, cs.kv_heads * d, ++seed);
    const AttentionShape shape{cs.heads, cs.kv_heads, d, 1 / std::sqrt(static_cast<float>(d)), cs.causal};
    TestMat<float> y(cs.queries, cs.heads * d);
    in_planned_workspace(2, [&](Run& run) { ops.attention(run, q.mat(), k.mat(), v.mat(), shape, y.mat()); });

    const TestMat<double> q2 = to_double(q), k2 = to_double(k), v2 = to_double(v);
    TestMat<double> expected(cs.queries, cs.heads * d);
    in_planned_workspace(
        1, [&](Run& run) { Yardstick{}.attention(run, q2.mat(), k2.mat(), v2.mat(), shape, expected.mat()); });

    double longest_key = 0, largest_value = 0;
    for (int j = 0; j < keys; ++j) {
      for (int head = 0; head < cs.kv_heads; ++head) {
        longest_key = std::max(longest_key, testing::norm(k.mat().cols_at(head * d, d).rows_at(j, 1)));
      }
      for (int c = 0; c < cs.kv_heads * d; ++c) largest_value = std::max(largest_value, std::abs(v2(j, c)));
    }
    worst.update(y, expected, cs.text(), [&](int r, int c) {
      const double score = shape.scale * testing::norm(q.mat().cols_at(c / d * d, d).rows_at(r, 1)) * longest_key;
      return (2 * (d + 5) * score + 2 * keys + 16) * largest_value;
    });
  }
  return worst;
}

template <class OpsT>
WorstError norm_error(OpsT& ops, bool centred) {
  WorstError worst;
  unsigned seed = 3000;
  constexpr float eps = 1e-5f;
  for (const int rows : {1, 2, 7, 40}) {
    for (const int n : {1, 3, 17, 33, 64, 1027}) {
      TestMat<float> x = random_mat(rows, n, ++seed);
      for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < n; ++c) x(r, c) += 0.5f;
      }
      const TestWeight weight(1, n, DType::f32, ++seed), shift(1, n, DType::f32, ++seed);
      const TestMat<double> x2 = to_double(x);
      TestMat<float> y(rows, n);
      TestMat<double> expected(rows, n);
      const auto run_norm = [&](const auto& backend, Run& run, const auto& from, auto& to) {
        if (centred) {
          backend.layer_norm(run, from.mat(), weight.row_major(), shift.row_major(), eps, to.mat());
        } else {
          backend.rms_norm(run, from.mat(), weight.row_major(), eps, to.mat());
        }
      };
      in_planned_workspace(2, [&](Run& run) { run_norm(ops, run, x, y); });
      in_planned_workspace(1, [&](Run& run) { run_norm(Yardstick{}, run, x2, expected); });

      const std::string what =
          (centred ? "layer norm of [" : "RMS norm of [") + std::to_string(rows) + ", " + std::to_string(n) + "]";
      worst.update(y, expected, what, [&](int r, int c) {
        if (!centred) return (n / 2.0 + 6) * std::abs(expected(r, c));
        double mean = 0, squares = 0;
        for (int j = 0; j < n; ++j) mean += x2(r, j) / n, squares += x2(r, j) * x2(r, j) / n;
        const double sigma = std::sqrt(std::max(0.0, squares - mean * mean) + eps),
                     z = std::abs(x2(r, c) - mean) / sigma;
        return weight.size_of_element(c) * ((n + 3) * std::sqrt(squares) / sigma + (n / 2.0 + 12) * z) +
               2 * std::abs(expected(r, c));
      });
    }
  }
  return worst;
}

template <class OpsT>
WorstError activation_error(OpsT& ops) {
  WorstError worst;
  unsigned seed = 4000;
  for (const Activation act : {Activation::identity, Activation::gelu, Activation::gelu_tanh, Activation::quick_gelu,
                               Activation::silu, Activation::relu}) {
    for (const int cols : {1, 3, 17, 33, 500}) {
      TestMat<float> y = random_mat(7, cols, ++seed);
      for (int c = 0; c < cols; ++c) y(0, c) *= 5, y(1, c) *= 30;  // into the tails
      const TestMat<float> x = y;
      TestMat<double> expected = to_double(x);
      in_planned_workspace(2, [&](Run& run) { ops.activate(run, act, y.mat()); });
      in_planned_workspace(1, [&](Run& run) { Yardstick{}.activate(run, act, expected.mat()); });
      worst.update(y, expected, std::string(name_of(act)) + " of " + std::to_string(cols),
                   [&](int r, int c) { return 16 * std::abs(x(r, c)); });
    }
  }
  return worst;
}

template <class OpsT>
WorstError rotation_error(OpsT& ops) {
  WorstError worst;
  unsigned seed = 5000;
  for (const int head_dim : {8, 10, 12, 64, 80}) {
    for (const int heads : {1, 3}) {
      const int rows = 17, half = head_dim / 2;
      TestMat<float> cos(rows, half), sin(rows, half), y = random_mat(rows, heads * head_dim, ++seed);
      for (int r = 0; r < rows; ++r) {
        for (int j = 0; j < half; ++j) {
          const auto angle = static_cast<float>(0.3 * r + j);
          cos(r, j) = std::cos(angle);
          sin(r, j) = std::sin(angle);
        }
      }
      const TestMat<float> x = y;
      TestMat<double> expected = to_double(x);
      const TestMat<double> cos2 = to_double(cos), sin2 = to_double(sin);
      in_planned_workspace(2, [&](Run& run) { ops.rotate(run, y.mat(), heads, cos.mat(), sin.mat()); });
      in_planned_workspace(1,
                           [&](Run& run) { Yardstick{}.rotate(run, expected.mat(), heads, cos2.mat(), sin2.mat()); });
      worst.update(y, expected, std::to_string(heads) + " heads of " + std::to_string(head_dim), [&](int r, int c) {
        const int partner = c % head_dim < half ? c + half : c - half;
        return 3.0 * (std::abs(x(r, c)) + std::abs(x(r, partner)));
      });
    }
  }
  return worst;
}

/// The largest error at all: rows of a table are copied.
template <class OpsT>
double lookup_error(OpsT& ops) {
  double largest = 0;
  for (const DType format : {DType::f32, DType::bf16, DType::f16}) {
    const TestWeight table(9, 33, format, 6000);
    const std::vector<int> ids{8, 0, 3, 3};
    TestMat<float> y(4, 33);
    in_planned_workspace(2, [&](Run& run) { ops.lookup(run, ids, table.row_major(), y.mat()); });
    for (int r = 0; r < 4; ++r) {
      for (int c = 0; c < 33; ++c) {
        const double error = std::abs(y(r, c) - table(ids[static_cast<std::size_t>(r)], c));
        largest = error <= largest ? largest : error;
      }
    }
  }
  return largest;
}

/// All cases of all ops.
template <class OpsT>
void check_every_op(OpsT& ops) {
  const std::pair<const char*, WorstError> results[] = {
      {"linear", linear_error(ops)},         {"gated", gated_error(ops)},          {"attention", attention_error(ops)},
      {"layer_norm", norm_error(ops, true)}, {"rms_norm", norm_error(ops, false)}, {"activate", activation_error(ops)},
      {"rotate", rotation_error(ops)},
  };
  for (const auto& [op, worst] : results) {
    INFO(OpsT::name << " " << op << ", worst case: " << worst.where);
    CHECK(worst.ratio <= 1);
    CHECK(worst.ratio > 0);  // a comparison of float with double that finds no difference compares nothing
  }
  CHECK(lookup_error(ops) == 0);
}

/// Results of ops on operands that are large enough to be cut into pieces, computed `rows_at_a_time`.
template <class OpsT>
std::vector<TestMat<float>> large_results(OpsT& ops, int threads, int rows_at_a_time) {
  constexpr int rows = 37, in = 200, out = 330, heads = 6, kv_heads = 2, d = 40;
  const TestMat<float> x = random_mat(rows, in, 1), q = random_mat(rows, heads * d, 2),
                       k = random_mat(rows, kv_heads * d, 3), v = random_mat(rows, kv_heads * d, 4);
  const TestWeight wide(out, in, DType::bf16, 6), other(out, in, DType::bf16, 8), narrow(20, in, DType::f32, 10),
      gain(1, in, DType::f32, 11);
  const WeightView wide_view = wide.matrix_for(ops), other_view = other.matrix_for(ops),
                   narrow_view = narrow.matrix_for(ops);
  std::vector<TestMat<float>> results{{rows, out}, {rows, 20}, {rows, out}, {rows, heads * d}, {rows, in}, x};
  for (int begin = 0; begin < rows; begin += rows_at_a_time) {
    const int count = std::min(rows_at_a_time, rows - begin), seen = begin + count;
    const auto part = [&](std::size_t i) { return results[i].mat().rows_at(begin, count); };
    const Mat<const float> input = x.mat().rows_at(begin, count);
    in_planned_workspace(threads, [&](Run& run) {
      ops.linear(run, input, wide_view, {.activation = Activation::gelu}, part(0));
      ops.linear(run, input, narrow_view, {}, part(1));
      ops.gated(run, input, wide_view, {}, other_view, {}, Activation::silu, part(2));
      ops.attention(run, q.mat().rows_at(begin, count), k.mat().rows_at(0, seen), v.mat().rows_at(0, seen),
                    {heads, kv_heads, d, 0.15f, true}, part(3));
      ops.rms_norm(run, input, gain.row_major(), 1e-5f, part(4));
    });
    in_planned_workspace(threads, [&](Run& run) { ops.activate(run, Activation::quick_gelu, part(5)); });
  }
  return results;
}

inline bool same_bits(const std::vector<TestMat<float>>& a, const std::vector<TestMat<float>>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return x.same_bits(y); });
}

}  // namespace tessera::test

#include <algorithm>
#include <cmath>
#include <limits>

#include "tessera/kernel/training_kernels.hpp"

#include "catch.hpp"
#include "kernel/kernel_testing.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

struct Shape {
  int queries, keys, head_dim;
  bool causal;
};

/// Rows of floats with a gap between them that must stay as it is.
struct Rows {
  static constexpr int gap = 3;
  Rows(int row_count, int row_width, unsigned seed)
      : rows(row_count), width(row_width), numbers(random_numbers(std::size_t(row_count) * (row_width + gap), seed)) {}
  int stride() const { return width + gap; }
  float* row(int i) { return numbers.data() + std::size_t(i) * stride(); }
  const float* row(int i) const { return numbers.data() + std::size_t(i) * stride(); }
  int rows, width;
  std::vector<float> numbers;
};

/// Query heads that share one head of keys and values.
struct Case {
  Case(Shape s, int head_count) : shape(s), k(s.keys, s.head_dim, 1), v(s.keys, s.head_dim, 2) {
    for (unsigned head = 0; head < unsigned(head_count); ++head) {
      q.emplace_back(s.queries, s.head_dim, 10 + head);
      dy.emplace_back(s.queries, s.head_dim, 20 + head);
    }
  }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(shape.head_dim)); }
  Shape shape;
  Rows k, v;
  std::vector<Rows> q, dy;
};

struct Gradients {
  explicit Gradients(const Shape& s, std::size_t heads) : dk(s.keys, s.head_dim, 3), dv(s.keys, s.head_dim, 4) {
    for (unsigned head = 0; head < heads; ++head) dq.emplace_back(s.queries, s.head_dim, 30 + head);
  }
  Rows dk, dv;
  std::vector<Rows> dq;
};

/// What attend_backward adds to gradients that are not zero.
Gradients run(Isa isa, Case& c) {
  const Shape& s = c.shape;
  Gradients gradients(s, c.q.size());
  for (std::size_t head = 0; head < c.q.size(); ++head) {
    AlignedFloats scratch(attention_backward_scratch_floats(s.head_dim, s.keys));
    training_kernels(isa).attend_backward({.q = c.q[head].row(0),
                                           .q_stride = c.q[head].stride(),
                                           .k = c.k.row(0),
                                           .k_stride = c.k.stride(),
                                           .v = c.v.row(0),
                                           .v_stride = c.v.stride(),
                                           .dy = c.dy[head].row(0),
                                           .dy_stride = c.dy[head].stride(),
                                           .queries = s.queries,
                                           .key_count = s.keys,
                                           .head_dim = s.head_dim,
                                           .causal = s.causal,
                                           .scale = c.scale(),
                                           .dq = gradients.dq[head].row(0),
                                           .dq_stride = gradients.dq[head].stride(),
                                           .dk = gradients.dk.row(0),
                                           .dk_stride = gradients.dk.stride(),
                                           .dv = gradients.dv.row(0),
                                           .dv_stride = gradients.dv.stride(),
                                           .scratch = scratch.data()});
  }
  return gradients;
}

using Matrix = std::vector<std::vector<double>>;

Matrix in_double(const Rows& start) {
  Matrix matrix;
  for (int i = 0; i < start.rows; ++i) matrix.emplace_back(start.row(i), start.row(i) + start.width);
  return matrix;
}

/// The sums of absolute values beside the gradients: what rounding errors are compared with.
struct Expected {
  explicit Expected(const Gradients& start) : dk(in_double(start.dk)), dv(in_double(start.dv)) {
    for (const Rows& rows : start.dq) dq.push_back(in_double(rows));
  }
  Matrix dk, dv;
  std::vector<Matrix> dq;
};

Expected in_double(const Case& c) {
  const Shape& s = c.shape;
  Expected e(Gradients(s, c.q.size()));
  const auto dot = [&](const float* a, const float* b) {
    double sum = 0;
    for (int d = 0; d < s.head_dim; ++d) sum += double(a[d]) * b[d];
    return sum;
  };
  for (std::size_t head = 0; head < c.q.size(); ++head)
    for (int i = 0; i < s.queries; ++i) {
      const int visible = s.causal ? s.keys - s.queries + i + 1 : s.keys;
      std::vector<double> p, dp;
      for (int j = 0; j < visible; ++j) {
        p.push_back(c.scale() * dot(c.q[head].row(i), c.k.row(j)));
        dp.push_back(dot(c.dy[head].row(i), c.v.row(j)));
      }
      const double highest = *std::max_element(p.begin(), p.end());
      double total = 0, mean = 0;
      for (double& number : p) total += number = std::exp(number - highest);
      for (int j = 0; j < visible; ++j) mean += (p[j] /= total) * dp[j];
      for (int j = 0; j < visible; ++j) {
        const double ds = c.scale() * p[j] * (dp[j] - mean);
        for (int d = 0; d < s.head_dim; ++d) {
          e.dq[head][i][d] += ds * c.k.row(j)[d];
          e.dk[j][d] += ds * c.q[head].row(i)[d];
          e.dv[j][d] += p[j] * c.dy[head].row(i)[d];
        }
      }
    }
  return e;
}

/// The largest difference; infinity if there is a NaN or a gap between the rows has changed.
double worst_error(const Rows& y, const Rows& start, const Matrix& expected) {
  double worst = 0;
  for (int i = 0; i < y.rows; ++i) {
    for (int d = 0; d < y.width; ++d) {
      const double error = std::fabs(y.row(i)[d] - expected[i][d]);
      worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
    }
    for (int d = y.width; d < y.stride(); ++d)
      if (y.row(i)[d] != start.row(i)[d]) return std::numeric_limits<double>::infinity();
  }
  return worst;
}

double worst_error(const Gradients& gradients, const Expected& expected) {
  const Gradients start(Shape{gradients.dq[0].rows, gradients.dk.rows, gradients.dk.width, false}, gradients.dq.size());
  double worst =
      std::max(worst_error(gradients.dk, start.dk, expected.dk), worst_error(gradients.dv, start.dv, expected.dv));
  for (std::size_t head = 0; head < gradients.dq.size(); ++head)
    worst = std::max(worst, worst_error(gradients.dq[head], start.dq[head], expected.dq[head]));
  return worst;
}

bool same_bits(const Gradients& a, const Gradients& b) {
  for (std::size_t head = 0; head < a.dq.size(); ++head)
    if (!test::same_bits(a.dq[head].numbers, b.dq[head].numbers)) return false;
  return test::same_bits(a.dk.numbers, b.dk.numbers) && test::same_bits(a.dv.numbers, b.dv.numbers);
}

}  // namespace

TEST_CASE("attend_backward agrees with double") {
  struct Size {
    int queries, keys, head_dim, heads;
  };
  for (const bool causal : {false, true})
    for (const auto& [queries, keys, head_dim, heads] : {Size{1, 1, 1, 1},
                                                         {1, 17, 12, 1},
                                                         {2, 2, 3, 3},
                                                         {7, 9, 80, 2},
                                                         {15, 16, 17, 1},
                                                         {16, 16, 16, 1},
                                                         {33, 70, 104, 4},
                                                         {65, 65, 128, 1},
                                                         {130, 200, 88, 2},
                                                         {577, 577, 64, 1},
                                                         {70, 1100, 20, 1}}) {
      Case c({queries, keys, head_dim, causal}, heads);
      const Expected expected = in_double(c);
      for (const Isa isa : available_isas()) {
        CAPTURE(name_of(isa), causal, queries, keys, head_dim, heads);
        CHECK(worst_error(run(isa, c), expected) < 1e-5);
      }
    }
}

TEST_CASE("attend_backward handles more queries than keys") {
  for (const Isa isa : available_isas())
    for (const auto& [queries, keys] : {std::pair{3, 1}, {200, 5}, {70, 33}}) {
      Case c({queries, keys, 24, false}, 1);
      CHECK(worst_error(run(isa, c), in_double(c)) < 1e-5);
    }
}

TEST_CASE("scores of any size are safe in attend_backward") {
  for (const Isa isa : available_isas())
    for (const bool causal : {false, true}) {
      Case c({20, 30, 16, causal}, 1);
      for (float& number : c.q[0].numbers) number *= 1e4f;
      const Gradients gradients = run(isa, c);
      for (const Rows* rows : {&gradients.dk, &gradients.dv, &gradients.dq[0]})
        for (const float number : rows->numbers) CHECK(std::isfinite(number));
    }
}

TEST_CASE("attend_backward keeps NaN, and no query feels a key that it does not see") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Isa isa : available_isas()) {
    const Shape shape{20, 30, 16, true};
    for (Rows Case::*operand : {&Case::k, &Case::v}) {
      Case c(shape, 1);
      (c.*operand).row(21)[5] = nan;  // seen from query 11 on
      const Gradients gradients = run(isa, c);
      for (int i = 0; i < shape.queries; ++i) CHECK(std::isnan(gradients.dq[0].row(i)[2]) == (i >= 11));
    }
    for (std::vector<Rows> Case::*operand : {&Case::q, &Case::dy}) {
      Case c(shape, 1);
      (c.*operand)[0].row(4)[5] = nan;  // query 4 sees the keys 0 … 14
      const Gradients gradients = run(isa, c);
      for (int i = 0; i < shape.queries; ++i) CHECK(std::isnan(gradients.dq[0].row(i)[2]) == (i == 4));
      CHECK(std::isnan(gradients.dk.row(14)[2]));
    }
  }
}

TEST_CASE("AVX2 and AVX-512 give the same gradients of attention") {
  if (detected_isa() < Isa::avx512) return;
  for (const bool causal : {false, true}) {
    Case c({130, 1090, 88, causal}, 2);
    CHECK(same_bits(run(Isa::avx2, c), run(Isa::avx512, c)));
  }
}

#pragma once
/// The yardstick: every op as plain loops, in float or double. Nothing here is clever; everything else is compared with
/// it.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>

#include "tessera/format/float_formats.hpp"
#include "tessera/ops/concept.hpp"

namespace tessera::ops {

namespace detail {

/// The value of element `i` of a weight.
inline double element(const WeightView& w, std::size_t i) {
  switch (w.dtype) {
    case DType::f32:
      return static_cast<const float*>(w.data)[i];
    case DType::bf16:
      return bf16::decode(static_cast<const std::uint16_t*>(w.data)[i]);
    case DType::f16:
      return f16::decode(static_cast<const std::uint16_t*>(w.data)[i]);
    case DType::f64:
      return static_cast<const double*>(w.data)[i];
    default:
      fail("a weight of type ", name_of(w.dtype), " cannot be read as numbers");
  }
}

inline double element(const WeightView& w, int row, int col) {
  return element(w, static_cast<std::size_t>(row) * w.cols + col);
}

}  // namespace detail

/// The exact activation functions, in the precision of S.
template <class S>
S activation(Activation act, S x) {
  using std::erf, std::exp, std::tanh;
  switch (act) {
    case Activation::identity:
      return x;
    case Activation::gelu:
      return S(0.5) * x * (S(1) + erf(x * S(std::numbers::sqrt2 / 2)));
    case Activation::gelu_tanh:
      return S(0.5) * x *
             (S(1) + tanh(S(std::numbers::inv_sqrtpi * std::numbers::sqrt2) * (x + S(0.044715) * x * x * x)));
    case Activation::quick_gelu:
      return x / (S(1) + exp(S(-1.702) * x));
    case Activation::silu:
      return x / (S(1) + exp(-x));
    case Activation::relu:
      return x > 0 ? x : S(0);
  }
  return x;
}

template <class S>
struct Reference {
  using Scalar = S;
  static constexpr const char* name = "reference";
  static constexpr bool keeps_copies = false;

  void bind(WeightView, DType, const void*) {}

  void linear(Run& run, Mat<const S> x, WeightView w, Epilogue<S> epilogue, Mat<S> y) const {
    if (run.arena.counting()) return;
    for (int r = 0; r < x.rows; ++r) {
      for (int o = 0; o < w.rows; ++o) {
        const S sum = activation(epilogue.activation, dot(x.row(r), w, o) + bias(epilogue.bias, o));
        y(r, o) = epilogue.residual.data != nullptr ? sum + epilogue.residual(r, o) : sum;
      }
    }
  }

  void gated(Run& run, Mat<const S> x, WeightView gate, WeightView gate_bias, WeightView up, WeightView up_bias,
             Activation act, Mat<S> y) const {
    if (run.arena.counting()) return;
    for (int r = 0; r < x.rows; ++r) {
      for (int o = 0; o < gate.rows; ++o) {
        y(r, o) =
            activation(act, dot(x.row(r), gate, o) + bias(gate_bias, o)) * (dot(x.row(r), up, o) + bias(up_bias, o));
      }
    }
  }

  void attention(Run& run, Mat<const S> q, Mat<const S> k, Mat<const S> v, AttentionShape shape, Mat<S> y) const {
    const Arena::Scope scope(run.arena);
    S* scores = run.arena.take<S>(static_cast<std::size_t>(k.rows));
    if (run.arena.counting()) return;
    for (int head = 0; head < shape.heads; ++head) {
      const int kv_head = head * shape.kv_heads / shape.heads, d = shape.head_dim;
      const Mat<const S> qh = q.cols_at(head * d, d), kh = k.cols_at(kv_head * d, d), vh = v.cols_at(kv_head * d, d);
      const Mat<S> yh = y.cols_at(head * d, d);
      for (int i = 0; i < q.rows; ++i) {
        const int keys = shape.causal ? k.rows - q.rows + i + 1 : k.rows;
        attend_row(qh.row(i), kh.rows_at(0, keys), vh.rows_at(0, keys), shape.scale, scores, yh.row(i));
      }
    }
  }

  void layer_norm(Run& run, Mat<const S> x, WeightView weight, WeightView shift, float eps, Mat<S> y) const {
    if (run.arena.counting()) return;
    for (int r = 0; r < x.rows; ++r) {
      S mean = 0, variance = 0;
      for (int c = 0; c < x.cols; ++c) mean += x(r, c);
      mean /= S(x.cols);
      for (int c = 0; c < x.cols; ++c) variance += (x(r, c) - mean) * (x(r, c) - mean);
      const S scale = S(1) / std::sqrt(variance / S(x.cols) + S(eps));
      for (int c = 0; c < x.cols; ++c) y(r, c) = (x(r, c) - mean) * scale * value(weight, c) + bias(shift, c);
    }
  }

  void rms_norm(Run& run, Mat<const S> x, WeightView weight, float eps, Mat<S> y) const {
    if (run.arena.counting()) return;
    for (int r = 0; r < x.rows; ++r) {
      S squares = 0;
      for (int c = 0; c < x.cols; ++c) squares += x(r, c) * x(r, c);
      const S scale = S(1) / std::sqrt(squares / S(x.cols) + S(eps));
      for (int c = 0; c < x.cols; ++c) y(r, c) = x(r, c) * scale * value(weight, c);
    }
  }

  void activate(Run& run, Activation act, Mat<S> x) const {
    if (run.arena.counting()) return;
    for (int r = 0; r < x.rows; ++r) {
      for (int c = 0; c < x.cols; ++c) x(r, c) = activation(act, x(r, c));
    }
  }

  void rotate(Run& run, Mat<S> x, int heads, Mat<const S> cos, Mat<const S> sin) const {
    if (run.arena.counting()) return;
    const int half = cos.cols;
    for (int r = 0; r < x.rows; ++r) {
      for (int head = 0; head < heads; ++head) {
        S* low = x.row(r) + head * 2 * half;
        S* high = low + half;
        for (int j = 0; j < half; ++j) {
          const S a = low[j], b = high[j];
          low[j] = a * cos(r, j) - b * sin(r, j);
          high[j] = b * cos(r, j) + a * sin(r, j);
        }
      }
    }
  }

  void lookup(Run& run, std::span<const int> ids, WeightView table, Mat<S> y) const {
    if (run.arena.counting()) return;
    for (int r = 0; r < y.rows; ++r) {
      for (int c = 0; c < y.cols; ++c) y(r, c) = S(detail::element(table, ids[static_cast<std::size_t>(r)], c));
    }
  }

 private:
  static S value(const WeightView& w, int i) { return S(detail::element(w, static_cast<std::size_t>(i))); }
  static S bias(const WeightView& w, int i) { return w ? value(w, i) : S(0); }

  static S dot(const S* x, const WeightView& w, int row) {
    S sum = 0;
    for (int k = 0; k < w.cols; ++k) sum += x[k] * S(detail::element(w, row, k));
    return sum;
  }

  /// y = softmax(scale · q kᵀ) v for one query row; `scores` holds k.rows elements.
  static void attend_row(const S* q, Mat<const S> k, Mat<const S> v, float scale, S* scores, S* y) {
    auto largest = -std::numeric_limits<double>::infinity();
    for (int j = 0; j < k.rows; ++j) {
      S sum = 0;
      for (int c = 0; c < k.cols; ++c) sum += q[c] * k(j, c);
      scores[j] = sum * S(scale);
      largest = std::max(largest, static_cast<double>(scores[j]));
    }
    S total = 0;
    for (int j = 0; j < k.rows; ++j) total += scores[j] = std::exp(scores[j] - S(largest));
    for (int c = 0; c < v.cols; ++c) {
      S sum = 0;
      for (int j = 0; j < k.rows; ++j) sum += scores[j] * v(j, c);
      y[c] = sum / total;
    }
  }
};

static_assert(Ops<Reference<float>> && Ops<Reference<double>>);

}  // namespace tessera::ops

#pragma once
/// The yardstick of the backward pass: every gradient as its formula, in float or double.

#include "tessera/ops/reference.hpp"
#include "tessera/ops/training.hpp"

namespace tessera::ops {

/// The derivative of an activation function, in the precision of S.
template <class S>
S activation_slope(Activation act, S x) {
  using std::erf, std::exp, std::tanh;
  const auto sigmoid = [](S z) { return S(1) / (S(1) + exp(-z)); };
  switch (act) {
    case Activation::identity:
      return S(1);
    case Activation::gelu:
      return S(0.5) * (S(1) + erf(x * S(std::numbers::sqrt2 / 2))) +
             x * exp(S(-0.5) * x * x) * S(std::numbers::inv_sqrtpi * std::numbers::sqrt2 / 2);
    case Activation::gelu_tanh: {
      const S factor = S(std::numbers::inv_sqrtpi * std::numbers::sqrt2);
      const S t = tanh(factor * (x + S(0.044715) * x * x * x));
      return S(0.5) * (S(1) + t) + S(0.5) * x * (S(1) - t * t) * factor * (S(1) + S(3 * 0.044715) * x * x);
    }
    case Activation::quick_gelu: {
      const S s = sigmoid(S(1.702) * x);
      return s + x * S(1.702) * s * (S(1) - s);
    }
    case Activation::silu: {
      const S s = sigmoid(x);
      return s + x * s * (S(1) - s);
    }
    case Activation::relu:
      return x > 0 ? S(1) : S(0);
  }
  return S(1);
}

template <class S>
struct ReferenceTraining : Reference<S> {
  void linear_dx(Run& run, Mat<const S> dy, WeightView w, Mat<S> dx) const {
    if (run.arena.counting()) return;
    for (int r = 0; r < dy.rows; ++r) {
      for (int o = 0; o < w.rows; ++o) {
        for (int i = 0; i < w.cols; ++i) dx(r, i) += dy(r, o) * S(detail::element(w, o, i));
      }
    }
  }

  void linear_dw(Run& run, Mat<const S> dy, Mat<const S> x, Mat<S> dw, Mat<S> db) const {
    if (run.arena.counting()) return;
    for (int r = 0; r < dy.rows; ++r) {
      for (int o = 0; o < dy.cols; ++o) {
        for (int i = 0; i < x.cols; ++i) dw(o, i) += dy(r, o) * x(r, i);
        if (db.data != nullptr) db(0, o) += dy(r, o);
      }
    }
  }

  void attention_backward(Run& run, Mat<const S> q, Mat<const S> k, Mat<const S> v, AttentionShape shape,
                          const Sequences& sequences, Mat<const S> dy, Mat<S> dq, Mat<S> dk, Mat<S> dv) const {
    const Arena::Scope scope(run.arena);
    const Mat<S> rows = run.arena.mat<S>(2, sequences.longest());  // of probabilities and of their gradients
    if (run.arena.counting()) return;
    for (int sequence = 0; sequence < sequences.count(); ++sequence) {
      for (int head = 0; head < shape.heads; ++head) {
        const int begin = sequences.begin(sequence), end = sequences.begin(sequence + 1);
        const int d = shape.head_dim, at = head * d, kv_at = head * shape.kv_heads / shape.heads * d;
        for (int i = begin; i < end; ++i) {
          const auto visible = [&](auto m) {
            return m.cols_at(kv_at, d).rows_at(begin, (shape.causal ? i + 1 : end) - begin);
          };
          attend_row_backward(q.cols_at(at, d).row(i), visible(k), visible(v), shape.scale, dy.cols_at(at, d).row(i),
                              rows.row(0), rows.row(1), dq.cols_at(at, d).row(i), visible(dk), visible(dv));
        }
      }
    }
  }

  void layer_norm_backward(Run& run, Mat<const S> x, WeightView weight, float eps, Mat<const S> dy, Mat<S> dx,
                           Mat<S> dweight, Mat<S> dbias) const {
    if (run.arena.counting()) return;
    for (int r = 0; r < x.rows; ++r) {
      S mean = 0;
      for (int c = 0; c < x.cols; ++c) mean += x(r, c) / S(x.cols);
      norm_row_backward(x.row(r), x.cols, mean, weight, eps, dy.row(r), dx.data != nullptr ? dx.row(r) : nullptr, true,
                        dweight);
      if (dbias.data == nullptr) continue;
      for (int c = 0; c < x.cols; ++c) dbias(0, c) += dy(r, c);
    }
  }

  void rms_norm_backward(Run& run, Mat<const S> x, WeightView weight, float eps, Mat<const S> dy, Mat<S> dx,
                         Mat<S> dweight) const {
    if (run.arena.counting()) return;
    for (int r = 0; r < x.rows; ++r)
      norm_row_backward(x.row(r), x.cols, S(0), weight, eps, dy.row(r), dx.data != nullptr ? dx.row(r) : nullptr, false,
                        dweight);
  }

  void activate_backward(Run& run, Activation act, Mat<const S> x, Mat<const S> dy, Mat<S> dx) const {
    if (run.arena.counting()) return;
    for (int r = 0; r < x.rows; ++r) {
      for (int c = 0; c < x.cols; ++c) dx(r, c) += dy(r, c) * activation_slope(act, x(r, c));
    }
  }

  void gate(Run& run, Activation act, Mat<const S> gate, Mat<const S> up, Mat<S> y) const {
    if (run.arena.counting()) return;
    for (int r = 0; r < y.rows; ++r) {
      for (int c = 0; c < y.cols; ++c) y(r, c) = activation(act, gate(r, c)) * up(r, c);
    }
  }

  void gate_backward(Run& run, Activation act, Mat<const S> gate, Mat<const S> up, Mat<const S> dy, Mat<S> dgate,
                     Mat<S> dup) const {
    if (run.arena.counting()) return;
    for (int r = 0; r < dy.rows; ++r) {
      for (int c = 0; c < dy.cols; ++c) {
        dgate(r, c) += dy(r, c) * up(r, c) * activation_slope(act, gate(r, c));
        dup(r, c) += dy(r, c) * activation(act, gate(r, c));
      }
    }
  }

  void lookup_dw(Run& run, std::span<const int> ids, Mat<const S> dy, Mat<S> dtable) const {
    if (run.arena.counting()) return;
    for (int r = 0; r < dy.rows; ++r) accumulate(dy.rows_at(r, 1), dtable.rows_at(ids[static_cast<std::size_t>(r)], 1));
  }

  void add(Run& run, Mat<const S> x, Mat<S> y) const {
    if (!run.arena.counting()) accumulate(x, y);
  }

  void cross_entropy(Run& run, Mat<S> logits, std::span<const int> labels, CrossEntropyOptions options,
                     std::span<S> losses) const {
    if (run.arena.counting()) return;
    const S smoothing = S(options.label_smoothing), share = smoothing / S(logits.cols);
    for (int r = 0; r < logits.rows; ++r) {
      const int label = labels[static_cast<std::size_t>(r)];
      const Mat<S> row = logits.rows_at(r, 1);
      double largest = -std::numeric_limits<double>::infinity();
      for (int c = 0; c < row.cols; ++c) largest = std::max(largest, static_cast<double>(row(0, c)));
      S sum = 0, total = 0;
      for (int c = 0; c < row.cols; ++c) sum += std::exp(row(0, c) - S(largest)), total += row(0, c);
      const S log_sum = S(largest) + std::log(sum);
      losses[static_cast<std::size_t>(r)] = log_sum - (S(1) - smoothing) * row(0, label) - share * total;
      for (int c = 0; c < row.cols; ++c)
        row(0, c) = S(options.scale) * (std::exp(row(0, c) - log_sum) - share - (c == label ? S(1) - smoothing : S(0)));
    }
  }

 private:
  /// x̂ = (x − mean) · s with s = 1 / sqrt(mean((x − mean)²) + eps), g = dy ⊙ weight:
  /// dx = s · (g − mean(g) − x̂ · mean(g ⊙ x̂)), without mean(g) where the mean is not taken off.
  static void norm_row_backward(const S* x, int width, S mean, const WeightView& weight, float eps, const S* dy, S* dx,
                                bool centred, Mat<S> dweight) {
    const auto gain = [&](int c) { return S(detail::element(weight, static_cast<std::size_t>(c))); };
    S squares = 0, mean_g = 0, mean_gx = 0;
    for (int c = 0; c < width; ++c) squares += (x[c] - mean) * (x[c] - mean);
    const S scale = S(1) / std::sqrt(squares / S(width) + S(eps));
    for (int c = 0; c < width; ++c) {
      const S normed = (x[c] - mean) * scale;
      if (centred) mean_g += dy[c] * gain(c) / S(width);
      mean_gx += dy[c] * gain(c) * normed / S(width);
      if (dweight.data != nullptr) dweight(0, c) += dy[c] * normed;
    }
    if (dx == nullptr) return;
    for (int c = 0; c < width; ++c) dx[c] += scale * (dy[c] * gain(c) - mean_g - (x[c] - mean) * scale * mean_gx);
  }

  static void attend_row_backward(const S* q, Mat<const S> k, Mat<const S> v, float scale, const S* dy,
                                  S* probabilities, S* slopes, S* dq, Mat<S> dk, Mat<S> dv) {
    double largest = -std::numeric_limits<double>::infinity();
    for (int j = 0; j < k.rows; ++j) {
      probabilities[j] = slopes[j] = 0;
      for (int c = 0; c < k.cols; ++c) probabilities[j] += S(scale) * q[c] * k(j, c), slopes[j] += dy[c] * v(j, c);
      largest = std::max(largest, static_cast<double>(probabilities[j]));
    }
    S total = 0, mean_slope = 0;
    for (int j = 0; j < k.rows; ++j) total += probabilities[j] = std::exp(probabilities[j] - S(largest));
    for (int j = 0; j < k.rows; ++j) mean_slope += (probabilities[j] /= total) * slopes[j];
    for (int j = 0; j < k.rows; ++j) {
      const S dscore = S(scale) * probabilities[j] * (slopes[j] - mean_slope);
      for (int c = 0; c < k.cols; ++c) {
        dq[c] += dscore * k(j, c);
        dk(j, c) += dscore * q[c];
        dv(j, c) += probabilities[j] * dy[c];
      }
    }
  }
};

static_assert(TrainingOps<ReferenceTraining<float>> && TrainingOps<ReferenceTraining<double>>);

}  // namespace tessera::ops

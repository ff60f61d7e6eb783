#pragma once
/// The backend on Eigen 3.4 (header only): its products and array functions. Norms, rotation and lookup are the
/// reference's loops, since next to the products their time does not count.
///
/// - Weights are read where they lie: float32 through a map, 16-bit ones widened (exactly) a panel at a time.
/// - Threads are ours, never Eigen's. Results do not depend on their number, since panels and heads are never split,
///   but their last bits may depend on the number of rows: Eigen multiplies a single row by another algorithm.

#include <algorithm>
#include <cstddef>

#include <Eigen/Core>

#include "tessera/format/float_formats.hpp"
#include "tessera/interop/eigen.hpp"
#include "tessera/kernel/pack.hpp"
#include "tessera/ops/concept.hpp"
#include "tessera/ops/reference.hpp"

namespace tessera::ops {

class EigenOps : Reference<float> {
 public:
  using Scalar = float;
  static constexpr const char* name = "eigen";
  static constexpr bool keeps_copies = false;

  using Reference<float>::bind;

  void linear(Run& run, Mat<const float> x, WeightView w, Epilogue<float> epilogue, Mat<float> y) const {
    for_panels(run, x.rows, w, 1, [&](int first, float* widened, Mat<float> panel) {
      product(x, w, epilogue.bias, first, widened, panel);
      auto result = interop::as_eigen(panel);
      apply(epilogue.activation, result.array());
      if (epilogue.residual.data != nullptr) result += interop::as_eigen(epilogue.residual.cols_at(first, panel.cols));
      interop::as_eigen(y.cols_at(first, panel.cols)) = result;
    });
  }

  void gated(Run& run, Mat<const float> x, WeightView gate, WeightView gate_bias, WeightView up, WeightView up_bias,
             Activation act, Mat<float> y) const {
    for_panels(run, x.rows, gate, 2, [&](int first, float* widened, Mat<float> panels) {
      const int cols = panels.cols / 2;
      const Mat<float> gates = panels.cols_at(0, cols), ups = panels.cols_at(cols, cols);
      product(x, gate, gate_bias, first, widened, gates);
      product(x, up, up_bias, first, widened, ups);
      auto factors = interop::as_eigen(gates).array();
      apply(act, factors);
      interop::as_eigen(y.cols_at(first, cols)).array() = factors * interop::as_eigen(ups).array();
    });
  }

  /// Heads go to threads; each takes `query_block` rows at a time, so that the scores stay small.
  void attention(Run& run, Mat<const float> q, Mat<const float> k, Mat<const float> v, AttentionShape shape,
                 Mat<float> y) const {
    const int d = shape.head_dim, past = k.rows - q.rows;
    const std::size_t score_count = whole_lines(static_cast<std::size_t>(std::min(q.rows, query_block)) * k.rows);
    const Arena::Scope scope(run.arena);
    float* const memory = run.arena.take<float>(score_count * run.threads);
    if (run.arena.counting()) return;
    split(run, shape.heads, [&](int head, int thread) {
      const int kv_head = head * shape.kv_heads / shape.heads;
      for (int begin = 0; begin < q.rows; begin += query_block) {
        const int rows = std::min(query_block, q.rows - begin), keys = shape.causal ? past + begin + rows : k.rows;
        auto scores = interop::as_eigen(dense(memory + score_count * thread, rows, keys));
        const auto qh = interop::as_eigen(q.cols_at(head * d, d).rows_at(begin, rows));
        const auto kh = interop::as_eigen(k.cols_at(kv_head * d, d).rows_at(0, keys));
        const auto vh = interop::as_eigen(v.cols_at(kv_head * d, d).rows_at(0, keys));
        auto yh = interop::as_eigen(y.cols_at(head * d, d).rows_at(begin, rows));
        scores.noalias() = qh * kh.transpose();
        for (int r = 0; r < rows; ++r) {
          const int visible = shape.causal ? past + begin + r + 1 : keys;
          auto row = scores.row(r).head(visible).array();
          row = (shape.scale * (row - row.maxCoeff())).exp();
          row /= row.sum();
          scores.row(r).tail(keys - visible).setZero();
        }
        yh.noalias() = scores * vh;
      }
    });
  }

  void activate(Run& run, Activation act, Mat<float> x) const {
    if (!run.arena.counting()) apply(act, interop::as_eigen(x).array());
  }

  using Reference<float>::layer_norm;
  using Reference<float>::rms_norm;
  using Reference<float>::rotate;
  using Reference<float>::lookup;

 private:
  static constexpr int query_block = 64, panel_width = 64;

  /// Floats rounded up to cache lines: Eigen's exp depends on an operand's alignment, which must not depend on the
  /// thread.
  static constexpr std::size_t whole_lines(std::size_t floats) { return (floats + 15) / 16 * 16; }

  /// Calls `body(index, thread)` for each of `count` pieces of work. Within, Eigen starts no threads of its own.
  template <class Body>
  static void split(const Run& run, int count, Body&& body) {
    const OpenMpThreads one(1);
    parallel_for(run.threads, count, 1, [&](int begin, int end, int thread) {
      for (int i = begin; i < end; ++i) body(i, thread);
    });
  }

  /// Calls `body(first, widened, panel)` for each panel of `panel_width` outputs of w, beginning with `first`:
  /// `widened` holds its weights as floats, `panel` [rows, outputs · products] its results.
  template <class Body>
  static void for_panels(Run& run, int rows, WeightView w, int products, Body&& body) {
    const std::size_t widened_count = w.dtype == DType::f32 ? 0 : static_cast<std::size_t>(panel_width) * w.cols;
    const std::size_t result_count = whole_lines(static_cast<std::size_t>(rows) * panel_width * products);
    const Arena::Scope scope(run.arena);
    float* const memory = run.arena.take<float>((widened_count + result_count) * run.threads);
    if (run.arena.counting()) return;
    split(run, (w.rows + panel_width - 1) / panel_width, [&](int index, int thread) {
      const int first = index * panel_width, cols = std::min(panel_width, w.rows - first);
      float* const widened = memory + (widened_count + result_count) * thread;
      body(first, widened, dense(widened + widened_count, rows, cols * products));
    });
  }

  /// y = x Pᵀ + bias, where P is the y.cols rows of w from `first` on.
  static void product(Mat<const float> x, WeightView w, WeightView bias, int first, float* widened, Mat<float> y) {
    const std::size_t offset = static_cast<std::size_t>(first) * w.cols;
    const float* weights = widened;
    if (w.dtype == DType::f32) {
      weights = static_cast<const float*>(w.data) + offset;
    } else {
      with_format(w.dtype, [&]<class Format>(Format) {
        const auto* stored = static_cast<const std::byte*>(w.data) + offset * sizeof(typename Format::storage);
        convert_numbers<Format, f32>(stored, static_cast<std::size_t>(y.cols) * w.cols, widened);
      });
    }
    auto result = interop::as_eigen(y);
    result.noalias() = interop::as_eigen(x) * interop::as_eigen(dense(weights, y.cols, w.cols)).transpose();
    if (bias)
      result.rowwise() += interop::as_eigen(dense(static_cast<const float*>(bias.data) + first, 1, y.cols)).row(0);
  }

  /// x = act(x), with Eigen's vector exp and tanh where they serve.
  template <class Array>
  static void apply(Activation act, Array x) {
    switch (act) {
      case Activation::identity:
        return;
      case Activation::quick_gelu:
        x /= 1.0f + (-1.702f * x).exp();
        return;
      case Activation::silu:
        x /= 1.0f + (-x).exp();
        return;
      case Activation::relu:
        x = x.max(0.0f);
        return;
      default:
        x = x.unaryExpr([act](float value) { return activation(act, value); });
    }
  }
};

static_assert(Ops<EigenOps>);

}  // namespace tessera::ops

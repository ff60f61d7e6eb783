#pragma once
/// Losses, with their gradients.

#include <algorithm>
#include <span>
#include <vector>

#include "tessera/core/context.hpp"
#include "tessera/core/labels.hpp"
#include "tessera/core/need.hpp"
#include "tessera/core/sequences.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/ops/training.hpp"

namespace tessera::train {

/// The rows whose next token has a label, and these labels.
class NextTokens {
 public:
  /// `labels` is aligned with the tokens: labels[i] is what the row before token i is to predict.
  void collect(std::span<const int> labels, const Sequences& sequences) {
    rows_.clear();
    labels_.clear();
    for (int i = 0; i < sequences.count(); ++i) {
      for (int row = sequences.begin(i); row + 1 < sequences.begin(i + 1); ++row) {
        const int label = labels[static_cast<std::size_t>(row) + 1];
        if (label == ignored_label) continue;
        rows_.push_back(row);
        labels_.push_back(label);
      }
    }
  }
  int size() const { return static_cast<int>(rows_.size()); }
  std::span<const int> rows() const { return rows_; }
  std::span<const int> labels() const { return labels_; }

 private:
  std::vector<int> rows_, labels_;
};

/// Cross entropy of the next token. Logits exist for rows with a label only, and for a chunk of them at a time.
struct CausalLm {
  float label_smoothing = 0;
  int chunk_rows = 256;

  /// Returns the sum of the losses, and adds `scale` times its gradient to dhidden and to the head's weights, as `N`
  /// says. hidden, dhidden: [tokens, width].
  template <Need N, class Ctx, class Head, class S = typename Ctx::Scalar>
  double operator()(Ctx& c, const Head& head, Input<S> hidden, const NextTokens& next, float scale,
                    Mat<S> dhidden) const {
    const Arena::Scope scope(c.arena);
    const int rows = std::min(chunk_rows, next.size());
    const Mat<S> picked = c.arena.template mat<S>(rows, hidden.cols),
                 dpicked = c.arena.template mat<S>(rows, hidden.cols),
                 logits = c.arena.template mat<S>(rows, head.out());
    const std::span<S> losses(c.arena.template take<S>(static_cast<std::size_t>(rows)), static_cast<std::size_t>(rows));
    double total = 0;
    for (int begin = 0; begin < next.size(); begin += rows) {
      const int count = std::min(rows, next.size() - begin);
      const auto at = [&](std::span<const int> list) {
        return list.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
      };
      const Mat<S> x = picked.rows_at(0, count), dx = dpicked.rows_at(0, count), y = logits.rows_at(0, count);
      if (!c.arena.counting()) gather(hidden, at(next.rows()), x);
      typename Head::template Saved<N, S> saved;
      head.template forward<N>(c, x, y, saved);
      c.ops.cross_entropy(c, y, at(next.labels()), {scale, label_smoothing}, losses);
      if (!c.arena.counting()) fill(dx, S(0));
      if constexpr (N.any()) head.template backward<N>(c, saved, y, dx);
      if (c.arena.counting()) break;
      for (int i = 0; i < count; ++i) total += static_cast<double>(losses[static_cast<std::size_t>(i)]);
      if constexpr (N.dx) scatter(dx, at(next.rows()), dhidden);
    }
    return total;
  }

 private:
  template <class S>
  static void gather(Mat<const S> from, std::span<const int> rows, Mat<S> to) {
    for (int i = 0; i < to.rows; ++i) copy<S>(from.rows_at(rows[static_cast<std::size_t>(i)], 1), to.rows_at(i, 1));
  }
  template <class S>
  static void scatter(Mat<S> from, std::span<const int> rows, Mat<S> to) {
    for (int i = 0; i < from.rows; ++i)
      accumulate<S>(from.rows_at(i, 1), to.rows_at(rows[static_cast<std::size_t>(i)], 1));
  }
};

}  // namespace tessera::train

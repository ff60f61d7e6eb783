#pragma once
/// Counts the work of a model: the same number on every machine, for any layer that somebody thinks of.

#include <cstdint>

#include "tessera/ops/training.hpp"

namespace tessera::ops {

/// A backend that counts the floating-point operations of its products, those of attention included: two for each
/// multiply-add. Norms, activations and sums, which are few beside them, do not count, nor does a counting pass.
template <class Base>
class Counted : public Base {
 public:
  using S = typename Base::Scalar;
  using Base::Base;

  /// Since the beginning.
  std::uint64_t flops() const { return flops_; }

  void linear(Run& run, Mat<const S> x, WeightView w, Epilogue<S> epilogue, Mat<S> y) const {
    count(run, product(x.rows, w.rows, w.cols));
    Base::linear(run, x, w, epilogue, y);
  }
  void gated(Run& run, Mat<const S> x, WeightView gate, WeightView gate_bias, WeightView up, WeightView up_bias,
             Activation act, Mat<S> y) const {
    count(run, 2 * product(x.rows, up.rows, up.cols));
    Base::gated(run, x, gate, gate_bias, up, up_bias, act, y);
  }
  void attention(Run& run, Mat<const S> q, Mat<const S> k, Mat<const S> v, AttentionShape shape, Mat<S> y) const {
    count(run, 2 * attention_product(q.rows, k.rows, shape));
    Base::attention(run, q, k, v, shape, y);
  }

  void linear_dx(Run& run, Mat<const S> dy, WeightView w, Mat<S> dx) const requires TrainingOps<Base> {
    count(run, product(dy.rows, w.rows, w.cols));
    Base::linear_dx(run, dy, w, dx);
  }
  void linear_dw(Run& run, Mat<const S> dy, Mat<const S> x, Mat<S> dw, Mat<S> db) const requires TrainingOps<Base> {
    count(run, product(dy.rows, dw.rows, dw.cols));
    Base::linear_dw(run, dy, x, dw, db);
  }
  /// Five products: the scores again, and the gradients of values, probabilities, queries and keys.
  void attention_backward(Run& run, Mat<const S> q, Mat<const S> k, Mat<const S> v, AttentionShape shape,
                          const Sequences& sequences, Mat<const S> dy, Mat<S> dq, Mat<S> dk,
                          Mat<S> dv) const requires TrainingOps<Base> {
    for (int i = 0; i < sequences.count(); ++i)
      count(run, 5 * attention_product(sequences.length(i), sequences.length(i), shape));
    Base::attention_backward(run, q, k, v, shape, sequences, dy, dq, dk, dv);
  }

 private:
  static std::uint64_t product(int rows, int columns, int depth) {
    return std::uint64_t{2} * static_cast<std::uint64_t>(rows) * static_cast<std::uint64_t>(columns) *
           static_cast<std::uint64_t>(depth);
  }
  /// One product for every pair of a query and a key that it sees, in all heads.
  static std::uint64_t attention_product(int queries, int keys, const AttentionShape& shape) {
    const std::uint64_t all = product(queries, keys, shape.heads * shape.head_dim);
    return shape.causal ? all - product(queries, queries - 1, shape.heads * shape.head_dim) / 2 : all;
  }
  void count(const Run& run, std::uint64_t flops) const {
    if (!run.arena.counting()) flops_ += flops;
  }

  mutable std::uint64_t flops_ = 0;  // ops are called from one thread
};

}  // namespace tessera::ops

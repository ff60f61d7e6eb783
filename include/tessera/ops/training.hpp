#pragma once
/// What a compute backend offers beyond inference: the backward pass of every op, and the loss.
///
/// The rules of ops/concept.hpp hold. In addition every gradient is *added* to what its matrix holds; a matrix with
/// null data stands for a gradient that is not wanted. Gradients of weights are dense, shaped as the weight.

#include "tessera/core/sequences.hpp"
#include "tessera/ops/concept.hpp"

namespace tessera {

/// How the rows of a batch enter its loss.
struct CrossEntropyOptions {
  float scale = 1;            ///< of the gradient: 1 / (labels that the mean is over)
  float label_smoothing = 0;  ///< ε of Szegedy et al. 2016, as torch.nn.CrossEntropyLoss
};

/// A compute backend that can train.
template <class O>
concept TrainingOps = Ops<O> &&
    requires(const O& ops, Run& run, Mat<const typename O::Scalar> x, Mat<typename O::Scalar> d, WeightView w,
             AttentionShape shape, const Sequences& sequences, std::span<const int> ids,
             std::span<typename O::Scalar> losses) {
  // dx += dy W
  {ops.linear_dx(run, x, w, d)};
  // dW += dyᵀ x, db += the sum of dy's rows; arguments: dy, x, dW, db
  {ops.linear_dw(run, x, x, d, d)};
  // q, k, v, shape, dy → dq, dk, dv within each of the sequences that their rows consist of
  {ops.attention_backward(run, x, x, x, shape, sequences, x, d, d, d)};
  // x, weight, eps, dy → dx, dweight, dbias
  {ops.layer_norm_backward(run, x, w, 1e-5f, x, d, d, d)};
  // x, weight, eps, dy → dx, dweight
  {ops.rms_norm_backward(run, x, w, 1e-5f, x, d, d)};
  // dx += activation'(x) ⊙ dy
  {ops.activate_backward(run, Activation::gelu, x, x, d)};
  // y = activation(gate) ⊙ up
  {ops.gate(run, Activation::silu, x, x, d)};
  // gate, up, dy → dgate, dup
  {ops.gate_backward(run, Activation::silu, x, x, x, d, d)};
  // Row ids[r] of dtable += row r of dy
  {ops.lookup_dw(run, ids, x, d)};
  // y += x
  {ops.add(run, x, d)};
  // losses[r] = −log softmax(logits[r])[labels[r]]; the logits become the gradient of Σ losses · scale
  {ops.cross_entropy(run, d, ids, CrossEntropyOptions{}, losses)};
};

}  // namespace tessera

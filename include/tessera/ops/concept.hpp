#pragma once
/// The compute backend: a small set of operations that layers are made of. Four policies implement it: Reference
/// (plain loops, the yardstick), Native (our SIMD kernels), OneDnn and EigenOps.
///
/// Rules for every op:
/// - It takes its temporaries from `run.arena`, and returns before touching data when `run.arena.counting()`.
/// - Results do not depend on `run.threads`, nor on how many rows one call gets, except where a backend says otherwise.
/// - `y` must not overlap an operand, except where the comment allows it.

#include <concepts>
#include <span>

#include "tessera/core/activation.hpp"
#include "tessera/core/context.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/core/weight.hpp"

namespace tessera {

/// What happens to each element of a product before it is stored: y = activation(x Wᵀ + bias) + residual. Absent parts
/// have a null view. `residual` may be `y` itself.
template <class Scalar>
struct Epilogue {
  WeightView bias{};
  Activation activation = Activation::identity;
  Mat<const Scalar> residual{};
};

/// Multi-head attention over rows: q is [tokens, heads · head_dim], k and v are [keys, kv_heads · head_dim]; head h
/// reads key/value head h · kv_heads / heads. Causal: query i of T sees keys 0 … keys − T + i.
struct AttentionShape {
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  float scale = 1;
  bool causal = false;
};

/// A compute backend. An Ops that wants matrices in a layout of its own says `keeps_copies`: then `bind` is called once
/// for each matrix, with its row-major values in any float type, and the original can be released afterwards.
template <class O>
concept Ops = requires(const O& ops, Run& run, Mat<const typename O::Scalar> x, Mat<typename O::Scalar> y,
                       Epilogue<typename O::Scalar> epilogue, WeightView w, AttentionShape shape,
                       std::span<const int> ids, O& loading, const void* source) {
  { O::keeps_copies } -> std::convertible_to<bool>;
  { O::name } -> std::convertible_to<const char*>;
  {loading.bind(w, DType::bf16, source)};
  // y = activation(x Wᵀ + bias) + residual
  {ops.linear(run, x, w, epilogue, y)};
  // y = activation(x Wgᵀ + bg) ⊙ (x Wuᵀ + bu); the weights are gate, gate bias, up, up bias
  {ops.gated(run, x, w, w, w, w, Activation::silu, y)};
  // y = attention(q, k, v)
  {ops.attention(run, x, x, x, shape, y)};
  // y = (x − mean) / sqrt(var + eps) · weight + bias
  {ops.layer_norm(run, x, w, w, 1e-5f, y)};
  // y = x / sqrt(mean(x²) + eps) · weight
  {ops.rms_norm(run, x, w, 1e-5f, y)};
  // x = activation(x)
  {ops.activate(run, Activation::gelu, y)};
  // Rotates pairs (j, j + head_dim / 2) of every head in place; cos and sin are [tokens, head_dim / 2]
  {ops.rotate(run, y, 1, x, x)};
  // Row r of y = row ids[r] of the table
  {ops.lookup(run, ids, w, y)};
};

}  // namespace tessera

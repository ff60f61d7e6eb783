#pragma once
/// The interface of the kernels that only training needs: `training_kernels()` in training_kernels.hpp gives a table of
/// them. The rules of table.hpp hold: serial, strides in elements, the same bits for every split and thread count and
/// for AVX2 and AVX-512.
///
/// A gradient dx of a value x has the shape of x. Kernels of gradients *add* to them, unless they say otherwise, so the
/// caller zeroes them once and a value that is used twice needs no care.
///
/// The products of a linear layer y = x · Wᵀ, x[rows][in], W[out][in], are gemm calls with residual = y = the gradient:
///
///     dx += dy · W      x = dy,             weight = pack_columns(W),  n = in,   k = out
///     dW += dyᵀ · x     x = transpose(dy),  weight = pack_columns(x),  n = in,   k = rows
///     y = x · Wᵀ        x = x,              weight = pack_weight(W),   n = out,  k = in
///
/// A weight that trains changes in every step, so it is packed right before its product. Packing and product may go
/// block by block: columns [c, c + m) of the matrix, c a multiple of 16, are a matrix of m columns from source + c on,
/// and give columns [c, c + m) of the result.

#include <cstddef>
#include <cstdint>

#include "tessera/core/activation.hpp"
#include "tessera/core/dtype.hpp"
#include "tessera/kernel/isa.hpp"
#include "tessera/kernel/table.hpp"

namespace tessera {

/// Packs the panels [panel_begin, panel_end) of a row-major matrix M[k][n] as gemm reads an f32 weight of n outputs and
/// k inputs: [panel][k][16], with zeros beyond column n. The product x · M then needs no transposed copy.
struct PackColumnsArgs {
  const void* source = nullptr;    ///< M[k][n], numbers of `source_type`; may be unaligned
  DType source_type = DType::f32;  ///< f32, bf16 or f16; widened exactly
  std::ptrdiff_t source_stride = 0;
  int n = 0;
  int k = 0;
  float* packed = nullptr;  ///< packed_bytes(DType::f32, n, k) bytes, of all panels
  int panel_begin = 0;
  int panel_end = 0;
};

/// y[columns][rows] = x[rows][columns]ᵀ.
struct TransposeArgs {
  const float* x = nullptr;
  std::ptrdiff_t x_stride = 0;
  int rows = 0;
  int columns = 0;
  float* y = nullptr;
  std::ptrdiff_t y_stride = 0;
};

/// Gradient of attend(): of y = softmax(scale · q · Kᵀ) · V for one query head, from dy. Adds to dq, dk and dv. The
/// query heads that share a head of keys and values are computed one after the other and add to the same dk and dv. If
/// `causal`, key_count >= queries. The probabilities are computed again, a block of queries at a time.
struct AttentionBackwardArgs {
  const float* q = nullptr;  ///< [queries][head_dim]
  std::ptrdiff_t q_stride = 0;
  const float* k = nullptr;  ///< [key_count][head_dim], not packed
  std::ptrdiff_t k_stride = 0;
  const float* v = nullptr;  ///< [key_count][head_dim], not packed
  std::ptrdiff_t v_stride = 0;
  const float* dy = nullptr;  ///< [queries][head_dim]
  std::ptrdiff_t dy_stride = 0;
  int queries = 0;
  int key_count = 0;
  int head_dim = 0;
  bool causal = false;
  float scale = 1;      ///< as given to attend
  float* dq = nullptr;  ///< [queries][head_dim]
  std::ptrdiff_t dq_stride = 0;
  float* dk = nullptr;  ///< [key_count][head_dim]
  std::ptrdiff_t dk_stride = 0;
  float* dv = nullptr;  ///< [key_count][head_dim]
  std::ptrdiff_t dv_stride = 0;
  float* scratch = nullptr;  ///< attention_backward_scratch_floats() floats, private to the call
};

inline constexpr int attention_backward_block_rows = 64;  ///< query rows whose probabilities are held at a time

/// Floats between the rows of a block of scores: whole cache lines, an odd number of them against conflicts.
constexpr std::ptrdiff_t attention_backward_score_stride(int key_count) {
  return std::ptrdiff_t{panels_of(key_count) | 1} * panel_columns;
}

/// Floats of scratch for one call of attend_backward: two blocks of scores, the packed keys, and the queries and dy of
/// a block, each packed in two ways.
constexpr std::size_t attention_backward_scratch_floats(int head_dim, int key_count) {
  constexpr int rows = attention_backward_block_rows;
  return 2 * rows * static_cast<std::size_t>(attention_backward_score_stride(key_count)) +
         packed_values_floats(head_dim, key_count) +
         2 * (packed_keys_floats(head_dim, rows) + packed_values_floats(head_dim, rows));
}

/// Gradient of layer_norm or rms_norm over `rows` rows; mean and deviation are computed again from x. Adds to dx.
/// `dweight` and `dbias` are *overwritten* by the sums over these rows. For results that do not depend on the number of
/// threads, give each chunk of norm_backward_rows rows its own pair of sums and add these in the order of the chunks.
struct NormBackwardArgs {
  const float* x = nullptr;  ///< [rows][width], the input of the norm
  std::ptrdiff_t x_stride = 0;
  int rows = 0;
  int width = 0;
  const float* weight = nullptr;  ///< [width]
  float epsilon = 0;
  const float* dy = nullptr;  ///< [rows][width]
  std::ptrdiff_t dy_stride = 0;
  float* dx = nullptr;  ///< [rows][width], or null: not wanted
  std::ptrdiff_t dx_stride = 0;
  float* dweight = nullptr;  ///< [width], or null
  float* dbias = nullptr;    ///< [width], or null; layer_norm_backward only
};

inline constexpr int norm_backward_rows = 64;  ///< rows of a chunk with its own sums

/// One step of AdamW for an array of parameters, with the operations of torch.optim.AdamW in their order. Moments have
/// the bits of torch's on AVX2, and so have values where torch's square root is correctly rounded.
struct AdamwArgs {
  float* value = nullptr;
  const float* gradient = nullptr;
  float* first_moment = nullptr;   ///< torch's exp_avg
  float* second_moment = nullptr;  ///< torch's exp_avg_sq
  std::ptrdiff_t count = 0;
  std::int64_t step = 1;  ///< this step's number; the first is 1
  double learning_rate = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  float gradient_scale = 1;  ///< multiplies the gradient first, as clipping by the global norm does
};

/// The training kernels of one instruction set.
struct TrainingKernelTable {
  Isa isa;
  void (*pack_columns)(const PackColumnsArgs&);
  void (*transpose)(const TransposeArgs&);
  void (*attend_backward)(const AttentionBackwardArgs&);
  void (*layer_norm_backward)(const NormBackwardArgs&);
  void (*rms_norm_backward)(const NormBackwardArgs&);
  /// dx += dy · activation'(x).
  void (*activate_backward)(Activation activation, const float* x, const float* dy, int count, float* dx);
  /// y = activation(gate) ⊙ up. y may be gate or up.
  void (*gate)(Activation activation, const float* gate, const float* up, int count, float* y);
  /// The gradient of gate: dgate += dy · up · activation'(gate), dup += dy · activation(gate).
  void (*gate_backward)(Activation activation, const float* gate, const float* up, const float* dy, int count,
                        float* dgate, float* dup);
  /// Loss of one row of `width` logits, 0 <= label < width: the cross entropy of softmax(logits) with the target
  /// distribution t = (1 - smoothing) · onehot(label) + smoothing / width, as torch's with label_smoothing. Overwrites
  /// the row by scale times its gradient, scale · (softmax(logits) - t); the loss returned is not scaled.
  double (*cross_entropy)(float* logits, int width, int label, float smoothing, float scale);
  void (*adamw)(const AdamwArgs&);
  /// Σ x², summed in double in an order that depends on count alone. The same bits on every level.
  double (*sum_of_squares)(const float* x, std::ptrdiff_t count);
  /// y += a · x.
  void (*scale_add)(float a, const float* x, std::ptrdiff_t count, float* y);
};

}  // namespace tessera

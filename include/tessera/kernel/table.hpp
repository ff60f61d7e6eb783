#pragma once
/// The interface of the CPU kernels: plain argument structs and one table of functions for each instruction set.
///
/// Kernels are serial and know no layer; the caller runs them in parallel by giving each thread its own range of rows
/// or panels. The bits of a result depend on the operands alone: not on the ranges, the number of rows in a call or the
/// number of threads. AVX2 and AVX-512 give the same bits; `scalar` rounds differently, as it has no fused
/// multiply-add.
///
/// Strides count elements. Rows may be unaligned; packed weights, keys and values and all scratch must be aligned to
/// 64 bytes. No kernel reads or writes beyond the last column of a row.

#include <cstddef>

#include "tessera/core/activation.hpp"
#include "tessera/core/dtype.hpp"
#include "tessera/kernel/isa.hpp"

namespace tessera {

/// Columns of a panel, the unit of packed operands and of column ranges.
inline constexpr int panel_columns = 16;

constexpr int panels_of(int columns) { return (columns + panel_columns - 1) / panel_columns; }

/// y[rows][n] = activation(x · Wᵀ + bias) + residual, or, if `gate_weight` is given,
/// y = activation(x · Gᵀ + gate_bias) ⊙ (x · Wᵀ + bias) + residual.
/// Only rows [row_begin, row_end) and panels [panel_begin, panel_end) of y are computed.
///
/// Every element is a sum of blocks of 1024 ascending k, each a chain of fused multiply-adds that starts from zero. A
/// 16-bit weight is widened exactly, so the result has the bits of an f32 product with the widened weights. A gated
/// product has the bits of two products and their elementwise product; a residual is added to it without a rounding
/// in between.
struct GemmArgs {
  const float* x = nullptr;  ///< [rows][k]
  std::ptrdiff_t x_stride = 0;
  const void* weight = nullptr;  ///< W[n][k], packed by pack_weight()
  DType format = DType::f32;     ///< of the packed weights: f32, bf16 or f16
  int n = 0;
  int k = 0;
  const float* bias = nullptr;  ///< [n] or null
  Activation activation = Activation::identity;
  const void* gate_weight = nullptr;  ///< G[n][k], packed in the same format, or null
  const float* gate_bias = nullptr;   ///< [n] or null
  const float* residual = nullptr;    ///< [rows][n] or null; may be y
  std::ptrdiff_t residual_stride = 0;
  float* y = nullptr;  ///< [rows][n]; must not overlap x
  std::ptrdiff_t y_stride = 0;
  int row_begin = 0;
  int row_end = 0;
  int panel_begin = 0;
  int panel_end = 0;
  float* scratch = nullptr;  ///< gemm_scratch_floats() floats, private to the call
};

inline constexpr int gemm_block_k = 1024;       ///< length of one chain of multiply-adds
inline constexpr int gemm_group_columns = 512;  ///< columns whose sums are held while x passes by, block of k by block

/// Floats of scratch for one call of gemm with `rows` = row_end - row_begin.
constexpr std::size_t gemm_scratch_floats(int rows, int k) {
  return k > gemm_block_k ? static_cast<std::size_t>(rows) * gemm_group_columns : 0;
}

/// Packs rows [key_begin, key_end) of the keys or values of one head, so that a cache can be kept packed and appended
/// to. `source` points to the row of key 0.
struct PackHeadArgs {
  const float* source = nullptr;  ///< [keys][head_dim]
  std::ptrdiff_t source_stride = 0;
  int head_dim = 0;
  int key_begin = 0;
  int key_end = 0;
  int capacity = 0;         ///< keys for which `packed` has room; fixed for the life of the buffer
  float* packed = nullptr;  ///< packed_keys_floats() or packed_values_floats() floats
};

/// Keys are packed as [panel of 16 keys][head_dim][16].
constexpr std::size_t packed_keys_floats(int head_dim, int capacity) {
  return static_cast<std::size_t>(panels_of(capacity)) * panel_columns * static_cast<std::size_t>(head_dim);
}

/// Values are packed as [panel of 16 channels][capacity][16].
constexpr std::size_t packed_values_floats(int head_dim, int capacity) {
  return static_cast<std::size_t>(panels_of(head_dim)) * panel_columns * static_cast<std::size_t>(capacity);
}

/// Exact softmax attention of one query head: y[queries][head_dim] = softmax(scale · q · Kᵀ) · V for the queries
/// [query_begin, query_end). If `causal`, query i sees the keys 0 … key_count - queries + i, otherwise all keys.
/// The result of a query depends on nothing but that query and the keys it sees.
struct AttentionArgs {
  const float* q = nullptr;  ///< [queries][head_dim]
  std::ptrdiff_t q_stride = 0;
  const float* keys = nullptr;    ///< packed by pack_keys
  const float* values = nullptr;  ///< packed by pack_values
  int capacity = 0;               ///< as given to pack_keys and pack_values
  int key_count = 0;
  int head_dim = 0;
  int queries = 0;
  bool causal = false;
  float scale = 1;     ///< usually 1/√head_dim; positive
  float* y = nullptr;  ///< [queries][head_dim]; may be q
  std::ptrdiff_t y_stride = 0;
  int query_begin = 0;
  int query_end = 0;
  float* scratch = nullptr;  ///< attention_scratch_floats() floats, private to the call
};

inline constexpr int attention_block_rows = 24;  ///< query rows whose scores are held at a time

/// Floats between the score rows of a block: whole vectors plus one cache line against associativity conflicts.
constexpr std::ptrdiff_t attention_score_stride(int key_count) {
  return std::ptrdiff_t{panels_of(key_count) + 1} * panel_columns;
}

/// Floats of scratch for one call of attend: the scores and the outputs of a block of queries.
constexpr std::size_t attention_scratch_floats(int head_dim, int key_count) {
  return static_cast<std::size_t>(attention_block_rows) *
         static_cast<std::size_t>(attention_score_stride(key_count) + panels_of(head_dim) * panel_columns);
}

/// Attention of one query row to rows of keys and values as they are, for the query heads [head_begin, head_end). Has
/// the bits of `attend`, but reads every key and value once for all heads that share it, and packs none.
struct DecodeAttentionArgs {
  const float* q = nullptr;     ///< [heads][head_dim]
  const float* keys = nullptr;  ///< [key_count][key/value heads][head_dim]
  std::ptrdiff_t keys_stride = 0;
  const float* values = nullptr;  ///< as the keys
  std::ptrdiff_t values_stride = 0;
  int key_count = 0;
  int head_dim = 0;
  int group = 1;       ///< query heads that share a key/value head
  float scale = 1;     ///< usually 1/√head_dim; positive
  float* y = nullptr;  ///< [heads][head_dim]; may be q
  int head_begin = 0;
  int head_end = 0;
  float* scratch = nullptr;  ///< decode_attention_scratch_floats() floats, private to the call
};

inline constexpr int decode_block_heads = 8;  ///< heads whose scores are held at a time
inline constexpr int decode_block_keys = 48;  ///< keys that are brought into the order of a product at a time

/// Floats of scratch for one call of attend_decode: the scores and twice the outputs of a block of heads, and a block
/// of keys.
constexpr std::size_t decode_attention_scratch_floats(int head_dim, int key_count) {
  return static_cast<std::size_t>(decode_block_heads) *
             static_cast<std::size_t>(attention_score_stride(key_count) + 2 * panels_of(head_dim) * panel_columns) +
         packed_keys_floats(head_dim, decode_block_keys);
}

/// Normalises `rows` rows of `width` numbers.
struct NormArgs {
  const float* x = nullptr;
  std::ptrdiff_t x_stride = 0;
  int rows = 0;
  int width = 0;
  const float* weight = nullptr;  ///< [width]
  const float* bias = nullptr;    ///< [width]; layer_norm only
  float epsilon = 0;
  float* y = nullptr;  ///< may be x
  std::ptrdiff_t y_stride = 0;
};

/// The kernels of one instruction set. Outputs may be the inputs themselves where the arguments say so, and in all
/// functions on single rows; partial overlap is an error.
struct KernelTable {
  Isa isa;
  void (*gemm)(const GemmArgs&);
  void (*pack_keys)(const PackHeadArgs&);
  void (*pack_values)(const PackHeadArgs&);
  void (*attend)(const AttentionArgs&);
  void (*attend_decode)(const DecodeAttentionArgs&);
  /// y = (x - mean) / √(variance + epsilon) · weight + bias, in two passes.
  void (*layer_norm)(const NormArgs&);
  /// y = x / √(mean(x²) + epsilon) · weight.
  void (*rms_norm)(const NormArgs&);
  void (*activate)(Activation activation, const float* x, int count, float* y);
  /// Rotary position embedding of one token, in place: for every head of `row` [heads][head_dim] the pairs
  /// (x[i], x[i + head_dim/2]) are rotated by the angle whose cosine and sine are cos[i] and sin[i], i < head_dim/2.
  void (*rope)(float* row, int heads, int head_dim, const float* cos, const float* sin);
};

}  // namespace tessera

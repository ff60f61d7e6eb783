#pragma once
/// The fast backend: our SIMD kernels over packed weights. This file only cuts work into pieces for threads and hands
/// them to the kernels.

#include <algorithm>
#include <cstdint>
#include <unordered_map>

#include "tessera/core/memory.hpp"
#include "tessera/format/float_formats.hpp"
#include "tessera/kernel/kernels.hpp"
#include "tessera/kernel/pack.hpp"
#include "tessera/ops/concept.hpp"

namespace tessera::ops {

class Native {
 public:
  using Scalar = float;
  static constexpr const char* name = "native";
  static constexpr bool keeps_copies = true;

  /// Uses the best instruction set of this CPU (see TESSERA_ISA), or the given one.
  explicit Native(Isa isa = active_isa()) : kernels_(&kernels(isa)) {}

  /// Packs a matrix into its own memory, converting to the weight's format.
  void bind(WeightView w, DType source_type, const void* source) {
    Buffer packed(packed_bytes(w.dtype, w.rows, w.cols));
    parallel_for(default_threads(), panels_of(w.rows), 1, [&](int begin, int end, int) {
      pack_weight(w.dtype, source_type, source, w.rows, w.cols, packed.data(), begin, end);
    });
    packed_[w.id] = std::move(packed);
  }

  /// Bytes of all packed weights.
  std::size_t packed_size() const {
    std::size_t total = 0;
    for (const auto& [id, buffer] : packed_) total += buffer.size();
    return total;
  }

  void linear(Run& run, Mat<const float> x, WeightView w, Epilogue<float> epilogue, Mat<float> y) const {
    product(run, x, w, {}, {}, epilogue, y);
  }

  void gated(Run& run, Mat<const float> x, WeightView gate, WeightView gate_bias, WeightView up, WeightView up_bias,
             Activation act, Mat<float> y) const {
    product(run, x, up, gate, gate_bias, {.bias = up_bias, .activation = act}, y);
  }

  void attention(Run& run, Mat<const float> q, Mat<const float> k, Mat<const float> v, AttentionShape shape,
                 Mat<float> y) const {
    if (q.rows == 1) return attend_decode(run, q, k, v, shape, y);
    const int d = shape.head_dim, group = shape.heads / shape.kv_heads;
    const std::size_t key_floats = packed_keys_floats(d, k.rows), value_floats = packed_values_floats(d, k.rows);
    const std::size_t per_thread = key_floats + value_floats + attention_scratch_floats(d, k.rows);
    const Arena::Scope scope(run.arena);
    float* const memory = run.arena.take<float>(per_thread * static_cast<std::size_t>(run.threads));
    if (run.arena.counting()) return;

    // A unit is one key/value head and a chunk of the queries. A thread that meets a new head packs its keys and
    // values.
    const int chunks = shape.kv_heads % run.threads == 0 || shape.kv_heads >= 4 * run.threads ? 1 : run.threads;
    const int threads = threads_for(run, 2.0 * shape.heads * d * q.rows * k.rows);
    parallel_for(threads, shape.kv_heads * chunks, 1, [&](int begin, int end, int thread) {
      float* const keys = memory + per_thread * static_cast<std::size_t>(thread);
      float* const values = keys + key_floats;
      for (int unit = begin, packed_head = -1; unit < end; ++unit) {
        const int kv_head = unit / chunks, chunk = unit % chunks;
        if (kv_head != packed_head) {
          kernels_->pack_keys({k.data + kv_head * d, k.stride, d, 0, k.rows, k.rows, keys});
          kernels_->pack_values({v.data + kv_head * d, v.stride, d, 0, v.rows, v.rows, values});
          packed_head = kv_head;
        }
        for (int head = kv_head * group; head < (kv_head + 1) * group; ++head) {
          kernels_->attend({.q = q.data + head * d,
                            .q_stride = q.stride,
                            .keys = keys,
                            .values = values,
                            .capacity = k.rows,
                            .key_count = k.rows,
                            .head_dim = d,
                            .queries = q.rows,
                            .causal = shape.causal,
                            .scale = shape.scale,
                            .y = y.data + head * d,
                            .y_stride = y.stride,
                            .query_begin = q.rows * chunk / chunks,
                            .query_end = q.rows * (chunk + 1) / chunks,
                            .scratch = values + value_floats});
        }
      }
    });
  }

  void layer_norm(Run& run, Mat<const float> x, WeightView weight, WeightView bias, float eps, Mat<float> y) const {
    norm(run, kernels_->layer_norm, x, weight, bias, eps, y);
  }

  void rms_norm(Run& run, Mat<const float> x, WeightView weight, float eps, Mat<float> y) const {
    norm(run, kernels_->rms_norm, x, weight, {}, eps, y);
  }

  void activate(Run& run, Activation act, Mat<float> x) const {
    for_rows(run, x.rows, 8.0 * x.cols, [&](int r) { kernels_->activate(act, x.row(r), x.cols, x.row(r)); });
  }

  void rotate(Run& run, Mat<float> x, int heads, Mat<const float> cos, Mat<const float> sin) const {
    for_rows(run, x.rows, 4.0 * x.cols,
             [&](int r) { kernels_->rope(x.row(r), heads, 2 * cos.cols, cos.row(r), sin.row(r)); });
  }

  void lookup(Run& run, std::span<const int> ids, WeightView table, Mat<float> y) const {
    for_rows(run, y.rows, y.cols, [&](int r) {
      const std::size_t first = static_cast<std::size_t>(ids[static_cast<std::size_t>(r)]) * table.cols;
      with_format(table.dtype, [&]<class Format>(Format) { decode_row<Format>(table, first, y.row(r)); });
    });
  }

 protected:
  template <class Body>
  static void for_rows(Run& run, int rows, double cost_of_row, Body&& body) {
    if (run.arena.counting()) return;
    parallel_for(threads_for(run, cost_of_row * rows), rows, 1, [&](int begin, int end, int) {
      for (int r = begin; r < end; ++r) body(r);
    });
  }

  static const float* floats(WeightView v) { return v ? static_cast<const float*>(v.data) : nullptr; }

  const KernelTable* kernels_;

 private:
  template <class Format>
  static void decode_row(WeightView table, std::size_t first, float* out) {
    const auto* values = static_cast<const typename Format::storage*>(table.data) + first;
    for (int c = 0; c < table.cols; ++c) out[c] = Format::decode(values[c]);
  }

  const void* packed(WeightView w) const {
    const auto found = packed_.find(w.id);
    if (found == packed_.end())
      fail("a weight of [", w.rows, ", ", w.cols, "] was never bound to the native ops: see ops::bind_weights");
    return found->second.data();
  }

  /// Attention of one query, which sees all keys. A thread takes whole groups of heads, to read their keys once, unless
  /// some threads would get none.
  void attend_decode(Run& run, Mat<const float> q, Mat<const float> k, Mat<const float> v, AttentionShape shape,
                     Mat<float> y) const {
    const std::size_t scratch_floats = decode_attention_scratch_floats(shape.head_dim, k.rows);
    const Arena::Scope scope(run.arena);
    float* const scratch = run.arena.take<float>(scratch_floats * static_cast<std::size_t>(run.threads));
    if (run.arena.counting()) return;

    const int group = shape.heads / shape.kv_heads;
    const int threads = threads_for(run, 2.0 * shape.heads * shape.head_dim * k.rows);
    parallel_for(threads, shape.heads, shape.kv_heads < threads ? 1 : group, [&](int begin, int end, int thread) {
      kernels_->attend_decode({.q = q.data,
                               .keys = k.data,
                               .keys_stride = k.stride,
                               .values = v.data,
                               .values_stride = v.stride,
                               .key_count = k.rows,
                               .head_dim = shape.head_dim,
                               .group = group,
                               .scale = shape.scale,
                               .y = y.data,
                               .head_begin = begin,
                               .head_end = end,
                               .scratch = scratch + scratch_floats * static_cast<std::size_t>(thread)});
    });
  }

  /// y = act(x Wᵀ + bias) + residual, or with a gate y = act(x Gᵀ + gate bias) ⊙ (x Wᵀ + bias).
  void product(Run& run, Mat<const float> x, WeightView w, WeightView gate, WeightView gate_bias,
               Epilogue<float> epilogue, Mat<float> y) const {
    const std::size_t scratch_floats = gemm_scratch_floats(x.rows, w.cols);
    const Arena::Scope scope(run.arena);
    float* const scratch = run.arena.take<float>(scratch_floats * static_cast<std::size_t>(run.threads));
    if (run.arena.counting()) return;

    const GemmArgs whole{.x = x.data,
                         .x_stride = x.stride,
                         .weight = packed(w),
                         .format = w.dtype,
                         .n = w.rows,
                         .k = w.cols,
                         .bias = floats(epilogue.bias),
                         .activation = epilogue.activation,
                         .gate_weight = gate ? packed(gate) : nullptr,
                         .gate_bias = floats(gate_bias),
                         .residual = epilogue.residual.data,
                         .residual_stride = epilogue.residual.stride,
                         .y = y.data,
                         .y_stride = y.stride,
                         .row_begin = 0,
                         .row_end = x.rows,
                         .panel_begin = 0,
                         .panel_end = panels_of(w.rows)};
    const int threads = threads_for(run, static_cast<double>(x.rows) * w.rows * w.cols);
    // Columns are split first: then each weight is read by one thread only. Rows, where there are too few columns.
    const bool by_rows = whole.panel_end < 4 * threads && x.rows > whole.panel_end;
    parallel_for(threads, by_rows ? x.rows : whole.panel_end, 1, [&](int begin, int end, int thread) {
      GemmArgs part = whole;
      part.scratch = scratch + scratch_floats * static_cast<std::size_t>(thread);
      (by_rows ? part.row_begin : part.panel_begin) = begin;
      (by_rows ? part.row_end : part.panel_end) = end;
      kernels_->gemm(part);
    });
  }

  void norm(Run& run, void (*kernel)(const NormArgs&), Mat<const float> x, WeightView weight, WeightView bias,
            float eps, Mat<float> y) const {
    for_rows(run, x.rows, 4.0 * x.cols, [&](int r) {
      kernel({x.row(r), x.stride, 1, x.cols, floats(weight), floats(bias), eps, y.row(r), y.stride});
    });
  }

  std::unordered_map<std::uint32_t, Buffer> packed_;
};

static_assert(Ops<Native>);

}  // namespace tessera::ops

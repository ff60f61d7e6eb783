#pragma once
/// The fast backend for training. Weights that change in every step are not packed ahead: each product packs a block of
/// columns, uses it for all rows and forgets it, which costs a few percent from 64 rows on and no memory.

#include "tessera/kernel/training_kernels.hpp"
#include "tessera/ops/native.hpp"
#include "tessera/ops/training.hpp"

namespace tessera::ops {

class NativeTraining : public Native {
 public:
  static constexpr const char* name = "native";
  static constexpr bool keeps_copies = false;

  explicit NativeTraining(Isa isa = active_isa()) : Native(isa), training_(&training_kernels(isa)) {}

  void bind(WeightView, DType, const void*) {}

  void linear(Run& run, Mat<const float> x, WeightView w, Epilogue<float> epilogue, Mat<float> y) const {
    const std::size_t row_bytes = static_cast<std::size_t>(w.cols) * size_of(w.dtype);
    product(run, x, w.dtype, w.rows, epilogue, y, [&](int column, int columns, void* packed) {
      const std::byte* source = static_cast<const std::byte*>(w.data) + static_cast<std::size_t>(column) * row_bytes;
      pack_weight(w.dtype, w.dtype, source, columns, w.cols, packed, 0, panels_of(columns));
    });
  }

  void gated(Run& run, Mat<const float> x, WeightView gate_weight, WeightView gate_bias, WeightView up,
             WeightView up_bias, Activation act, Mat<float> y) const {
    const Arena::Scope scope(run.arena);
    const Mat<float> opened = run.arena.mat<float>(y.rows, y.cols);
    linear(run, x, gate_weight, {.bias = gate_bias}, opened);
    linear(run, x, up, {.bias = up_bias}, y);
    gate(run, act, opened, y, y);
  }

  void linear_dx(Run& run, Mat<const float> dy, WeightView w, Mat<float> dx) const {
    product(run, dy, DType::f32, w.cols, {.residual = dx}, dx, [&](int column, int columns, void* packed) {
      pack_columns(static_cast<const std::byte*>(w.data) + static_cast<std::size_t>(column) * size_of(w.dtype), w.dtype,
                   w.cols, columns, w.rows, packed);
    });
  }

  void linear_dw(Run& run, Mat<const float> dy, Mat<const float> x, Mat<float> dw, Mat<float> db) const {
    if (db.data != nullptr) add_rows(run, dy, db);
    for (int begin = 0; begin < dy.cols; begin += transposed_rows) {
      const Arena::Scope scope(run.arena);
      const int outputs = std::min(transposed_rows, dy.cols - begin);
      const Mat<float> transposed = run.arena.mat<float>(outputs, dy.rows), part = dw.rows_at(begin, outputs);
      if (!run.arena.counting()) transpose(run, dy.cols_at(begin, outputs), transposed);
      product(run, transposed, DType::f32, x.cols, {.residual = part}, part,
              [&](int column, int columns, void* packed) {
                pack_columns(x.data + column, DType::f32, x.stride, columns, x.rows, packed);
              });
    }
  }

  void attention_backward(Run& run, Mat<const float> q, Mat<const float> k, Mat<const float> v, AttentionShape shape,
                          const Sequences& sequences, Mat<const float> dy, Mat<float> dq, Mat<float> dk,
                          Mat<float> dv) const {
    const int d = shape.head_dim, group = shape.heads / shape.kv_heads, longest = sequences.longest();
    const std::size_t per_thread = attention_backward_scratch_floats(d, longest);
    const Arena::Scope scope(run.arena);
    float* const scratch = run.arena.take<float>(per_thread * static_cast<std::size_t>(run.threads));
    if (run.arena.counting()) return;
    // A unit is one key/value head of one sequence.
    parallel_for(threads_for(run, 4.0 * shape.heads * d * q.rows * longest), sequences.count() * shape.kv_heads, 1,
                 [&](int begin, int end, int thread) {
                   for (int unit = begin; unit < end; ++unit) {
                     const int sequence = unit / shape.kv_heads, kv_head = unit % shape.kv_heads;
                     const int first = sequences.begin(sequence), rows = sequences.length(sequence);
                     for (int head = kv_head * group; head < (kv_head + 1) * group; ++head) {
                       const auto of_head = [&](auto m) { return m.row(first) + head * d; };
                       const auto of_kv_head = [&](auto m) { return m.row(first) + kv_head * d; };
                       training_->attend_backward({.q = of_head(q),
                                                   .q_stride = q.stride,
                                                   .k = of_kv_head(k),
                                                   .k_stride = k.stride,
                                                   .v = of_kv_head(v),
                                                   .v_stride = v.stride,
                                                   .dy = of_head(dy),
                                                   .dy_stride = dy.stride,
                                                   .queries = rows,
                                                   .key_count = rows,
                                                   .head_dim = d,
                                                   .causal = shape.causal,
                                                   .scale = shape.scale,
                                                   .dq = of_head(dq),
                                                   .dq_stride = dq.stride,
                                                   .dk = of_kv_head(dk),
                                                   .dk_stride = dk.stride,
                                                   .dv = of_kv_head(dv),
                                                   .dv_stride = dv.stride,
                                                   .scratch = scratch + per_thread * static_cast<std::size_t>(thread)});
                     }
                   }
                 });
  }

  void layer_norm_backward(Run& run, Mat<const float> x, WeightView weight, float eps, Mat<const float> dy,
                           Mat<float> dx, Mat<float> dweight, Mat<float> dbias) const {
    norm_backward(run, training_->layer_norm_backward, x, weight, eps, dy, dx, dweight, dbias);
  }

  void rms_norm_backward(Run& run, Mat<const float> x, WeightView weight, float eps, Mat<const float> dy, Mat<float> dx,
                         Mat<float> dweight) const {
    norm_backward(run, training_->rms_norm_backward, x, weight, eps, dy, dx, dweight, {});
  }

  void activate_backward(Run& run, Activation act, Mat<const float> x, Mat<const float> dy, Mat<float> dx) const {
    for_rows(run, x.rows, 16.0 * x.cols,
             [&](int r) { training_->activate_backward(act, x.row(r), dy.row(r), x.cols, dx.row(r)); });
  }

  void gate(Run& run, Activation act, Mat<const float> gate, Mat<const float> up, Mat<float> y) const {
    for_rows(run, y.rows, 8.0 * y.cols, [&](int r) { training_->gate(act, gate.row(r), up.row(r), y.cols, y.row(r)); });
  }

  void gate_backward(Run& run, Activation act, Mat<const float> gate, Mat<const float> up, Mat<const float> dy,
                     Mat<float> dgate, Mat<float> dup) const {
    for_rows(run, dy.rows, 16.0 * dy.cols, [&](int r) {
      training_->gate_backward(act, gate.row(r), up.row(r), dy.row(r), dy.cols, dgate.row(r), dup.row(r));
    });
  }

  void lookup_dw(Run& run, std::span<const int> ids, Mat<const float> dy, Mat<float> dtable) const {
    for_columns(run, dy, [&](int r, int begin, int count) {
      training_->scale_add(1, dy.row(r) + begin, count, dtable.row(ids[static_cast<std::size_t>(r)]) + begin);
    });
  }

  void add(Run& run, Mat<const float> x, Mat<float> y) const {
    for_rows(run, x.rows, x.cols, [&](int r) { training_->scale_add(1, x.row(r), x.cols, y.row(r)); });
  }

  void cross_entropy(Run& run, Mat<float> logits, std::span<const int> labels, CrossEntropyOptions options,
                     std::span<float> losses) const {
    for_rows(run, logits.rows, 16.0 * logits.cols, [&](int r) {
      const auto i = static_cast<std::size_t>(r);
      losses[i] = static_cast<float>(
          training_->cross_entropy(logits.row(r), logits.cols, labels[i], options.label_smoothing, options.scale));
    });
  }

 private:
  static constexpr int block_panels = 6;        ///< packed at a time
  static constexpr int transposed_rows = 1024;  ///< outputs whose gradient is transposed at a time

  /// y = activation(x · B + bias) + residual for a B of n columns, of which pack(column, columns, packed) packs a
  /// block.
  template <class Pack>
  void product(Run& run, Mat<const float> x, DType format, int n, Epilogue<float> epilogue, Mat<float> y,
               Pack&& pack) const {
    const Arena::Scope scope(run.arena);
    const std::size_t gemm_floats = gemm_scratch_floats(x.rows, x.cols),
                      threads = static_cast<std::size_t>(run.threads),
                      block_bytes = packed_bytes(format, block_panels * panel_columns, x.cols);
    float* const gemm_scratch = run.arena.take<float>(gemm_floats * threads);
    std::byte* const packed = run.arena.take<std::byte>(block_bytes * threads);
    if (run.arena.counting()) return;
    const int panels = panels_of(n), used_threads = threads_for(run, static_cast<double>(x.rows) * n * x.cols);
    // Too few columns for every thread are packed by each; rows are split then.
    const bool by_rows = panels < 4 * used_threads && x.rows > panels;
    parallel_for(used_threads, by_rows ? x.rows : panels, 1, [&](int begin, int end, int thread) {
      const int first_panel = by_rows ? 0 : begin, last_panel = by_rows ? panels : end;
      std::byte* const block = packed + block_bytes * static_cast<std::size_t>(thread);
      for (int panel = first_panel; panel < last_panel; panel += block_panels) {
        const int column = panel * panel_columns, block_end = std::min(panel + block_panels, last_panel);
        const int columns = std::min(block_end * panel_columns, n) - column;
        pack(column, columns, block);
        kernels_->gemm({.x = x.data,
                        .x_stride = x.stride,
                        .weight = block,
                        .format = format,
                        .n = columns,
                        .k = x.cols,
                        .bias = epilogue.bias ? floats(epilogue.bias) + column : nullptr,
                        .activation = epilogue.activation,
                        .residual = epilogue.residual.data != nullptr ? epilogue.residual.data + column : nullptr,
                        .residual_stride = epilogue.residual.stride,
                        .y = y.data + column,
                        .y_stride = y.stride,
                        .row_begin = by_rows ? begin : 0,
                        .row_end = by_rows ? end : x.rows,
                        .panel_begin = 0,
                        .panel_end = panels_of(columns),
                        .scratch = gemm_scratch + gemm_floats * static_cast<std::size_t>(thread)});
      }
    });
  }

  void pack_columns(const void* source, DType type, std::ptrdiff_t stride, int n, int k, void* packed) const {
    training_->pack_columns({.source = source,
                             .source_type = type,
                             .source_stride = stride,
                             .n = n,
                             .k = k,
                             .packed = static_cast<float*>(packed),
                             .panel_begin = 0,
                             .panel_end = panels_of(n)});
  }

  void transpose(Run& run, Mat<const float> x, Mat<float> y) const {
    parallel_for(threads_for(run, static_cast<double>(x.rows) * x.cols), x.cols, panel_columns,
                 [&](int begin, int end, int) {
                   training_->transpose({.x = x.data + begin,
                                         .x_stride = x.stride,
                                         .rows = x.rows,
                                         .columns = end - begin,
                                         .y = y.row(begin),
                                         .y_stride = y.stride});
                 });
  }

  /// Calls body(row, first column, columns) for all rows in order, each thread for columns of its own.
  template <class Body>
  static void for_columns(Run& run, Mat<const float> x, Body&& body) {
    if (run.arena.counting()) return;
    parallel_for(threads_for(run, static_cast<double>(x.rows) * x.cols), x.cols, panel_columns,
                 [&](int begin, int end, int) {
                   for (int r = 0; r < x.rows; ++r) body(r, begin, end - begin);
                 });
  }

  /// sum += the rows of x.
  void add_rows(Run& run, Mat<const float> x, Mat<float> sum) const {
    for_columns(run, x, [&](int r, int begin, int count) {
      training_->scale_add(1, x.row(r) + begin, count, sum.row(0) + begin);
    });
  }

  /// Chunks of rows have sums of their own, which are added in order: the result does not depend on the threads.
  void norm_backward(Run& run, void (*kernel)(const NormBackwardArgs&), Mat<const float> x, WeightView weight,
                     float eps, Mat<const float> dy, Mat<float> dx, Mat<float> dweight, Mat<float> dbias) const {
    const Arena::Scope scope(run.arena);
    const int chunks = (x.rows + norm_backward_rows - 1) / norm_backward_rows;
    const bool weights = dweight.data != nullptr, biases = dbias.data != nullptr;
    const Mat<float> weight_sums = run.arena.mat<float>(weights ? chunks : 0, x.cols),
                     bias_sums = run.arena.mat<float>(biases ? chunks : 0, x.cols);
    for_rows(run, chunks, 16.0 * norm_backward_rows * x.cols, [&](int chunk) {
      const int begin = chunk * norm_backward_rows, rows = std::min(norm_backward_rows, x.rows - begin);
      kernel({.x = x.row(begin),
              .x_stride = x.stride,
              .rows = rows,
              .width = x.cols,
              .weight = floats(weight),
              .epsilon = eps,
              .dy = dy.row(begin),
              .dy_stride = dy.stride,
              .dx = dx.data != nullptr ? dx.row(begin) : nullptr,
              .dx_stride = dx.stride,
              .dweight = weights ? weight_sums.row(chunk) : nullptr,
              .dbias = biases ? bias_sums.row(chunk) : nullptr});
    });
    if (weights) add_rows(run, weight_sums, dweight);
    if (biases) add_rows(run, bias_sums, dbias);
  }

  const TrainingKernelTable* training_;
};

static_assert(TrainingOps<NativeTraining>);

}  // namespace tessera::ops

// The kernels of training against the limits of the machine: of_peak is the share of the FMA peak, packing, transposing
// and adding to the gradient included.
#include <cmath>
#include <random>
#include <vector>

#include <benchmark/benchmark.h>

#include "tessera/core/arena.hpp"
#include "tessera/kernel/training_kernels.hpp"

#include "peak.hpp"

using namespace tessera;
using bench::floats;
using bench::zeroed_buffer;

namespace {

/// Rows as far apart as those of the library's workspace.
struct Rows {
  Rows(int rows, int width)
      : stride(Arena().mat<float>(rows, width).stride),
        memory(static_cast<std::size_t>(rows) * stride * sizeof(float)) {
    std::mt19937 generator(1);
    for (std::ptrdiff_t i = 0; i < rows * stride; ++i) data()[i] = static_cast<float>(generator()) * 0x1p-32f - 0.5f;
  }
  float* data() const { return floats(memory); }
  std::ptrdiff_t stride;
  Buffer memory;
};

constexpr int block_columns = 512;  // packed at a time

/// y += x · M for M[k][n] of `type`, packed block by block.
void add_product(const Rows& x, int rows, const void* m, DType type, std::ptrdiff_t m_stride, int k, int n,
                 const Rows& y, float* packed, float* scratch) {
  for (int column = 0; column < n; column += block_columns) {
    const int columns = std::min(block_columns, n - column);
    const void* source = static_cast<const std::byte*>(m) + size_of(type) * static_cast<std::size_t>(column);
    training_kernels().pack_columns({.source = source,
                                     .source_type = type,
                                     .source_stride = m_stride,
                                     .n = columns,
                                     .k = k,
                                     .packed = packed,
                                     .panel_end = panels_of(columns)});
    kernels().gemm({.x = x.data(),
                    .x_stride = x.stride,
                    .weight = packed,
                    .n = columns,
                    .k = k,
                    .residual = y.data() + column,
                    .residual_stride = y.stride,
                    .y = y.data() + column,
                    .y_stride = y.stride,
                    .row_end = rows,
                    .panel_end = panels_of(columns),
                    .scratch = scratch});
  }
}

/// dx[rows][in] += dy[rows][out] · W[out][in].
void input_gradient(benchmark::State& state, DType type) {
  const int rows = static_cast<int>(state.range(0)), in = static_cast<int>(state.range(1)),
            out = static_cast<int>(state.range(2));
  const Rows dy(rows, out), dx(rows, in);
  const Buffer weight = zeroed_buffer(size_of(type) * static_cast<std::size_t>(in) * out);
  const Buffer packed = zeroed_buffer(packed_bytes(DType::f32, block_columns, out));
  const Buffer scratch = zeroed_buffer(gemm_scratch_floats(rows, out) * sizeof(float));
  bench::report_of_peak(state, 1.0 * rows * in * out, [&] {
    add_product(dy, rows, weight.data(), type, in, out, in, dx, floats(packed), floats(scratch));
  });
}

/// dW[out][in] += dy[rows][out]ᵀ · x[rows][in].
void weight_gradient(benchmark::State& state) {
  const int rows = static_cast<int>(state.range(0)), in = static_cast<int>(state.range(1)),
            out = static_cast<int>(state.range(2));
  const Rows x(rows, in), dy(rows, out), transposed(out, rows), dw(out, in);
  const Buffer packed = zeroed_buffer(packed_bytes(DType::f32, block_columns, rows));
  const Buffer scratch = zeroed_buffer(gemm_scratch_floats(out, rows) * sizeof(float));
  bench::report_of_peak(state, 1.0 * rows * in * out, [&] {
    training_kernels().transpose({.x = dy.data(),
                                  .x_stride = dy.stride,
                                  .rows = rows,
                                  .columns = out,
                                  .y = transposed.data(),
                                  .y_stride = transposed.stride});
    add_product(transposed, out, x.data(), DType::f32, x.stride, rows, in, dw, floats(packed), floats(scratch));
  });
}

/// 16 heads; five products are counted.
void attention_backward(benchmark::State& state) {
  constexpr int heads = 16;
  const int tokens = static_cast<int>(state.range(0)), head_dim = static_cast<int>(state.range(1));
  const bool causal = state.range(2) != 0;
  const int width = heads * head_dim;
  const Rows qkv(tokens, 3 * width), dy(tokens, width), dqkv(tokens, 3 * width);
  const Buffer scratch = zeroed_buffer(attention_backward_scratch_floats(head_dim, tokens) * sizeof(float));
  const double pairs = causal ? 0.5 * tokens * (tokens + 1) : 1.0 * tokens * tokens;
  bench::report_of_peak(state, 5 * pairs * head_dim * heads, [&] {
    for (int head = 0; head < heads; ++head) {
      const float* q = qkv.data() + head * head_dim;
      float* dq = dqkv.data() + head * head_dim;
      training_kernels().attend_backward({.q = q,
                                          .q_stride = qkv.stride,
                                          .k = q + width,
                                          .k_stride = qkv.stride,
                                          .v = q + 2 * width,
                                          .v_stride = qkv.stride,
                                          .dy = dy.data() + head * head_dim,
                                          .dy_stride = dy.stride,
                                          .queries = tokens,
                                          .key_count = tokens,
                                          .head_dim = head_dim,
                                          .causal = causal,
                                          .scale = 1.0f / std::sqrt(static_cast<float>(head_dim)),
                                          .dq = dq,
                                          .dq_stride = dqkv.stride,
                                          .dk = dq + width,
                                          .dk_stride = dqkv.stride,
                                          .dv = dq + 2 * width,
                                          .dv_stride = dqkv.stride,
                                          .scratch = floats(scratch)});
    }
  });
}

/// Elements per second of rows of 1024, hot in the L1 cache.
template <class Function>
void row(benchmark::State& state, Function function) {
  constexpr int width = 1024;
  const Rows x(4, width);
  for (auto _ : state) {
    function(x, width);
    benchmark::ClobberMemory();
  }
  state.counters["elements"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * width, benchmark::Counter::kIsRate);
}

void derivative(benchmark::State& state, Activation activation) {
  row(state, [&](const Rows& x, int width) {
    training_kernels().activate_backward(activation, x.data(), x.data() + x.stride, width, x.data() + 2 * x.stride);
  });
}

void layer_norm_backward(benchmark::State& state) {
  const Rows sums(2, 1024);
  row(state, [&](const Rows& x, int width) {
    training_kernels().layer_norm_backward({.x = x.data(),
                                            .x_stride = x.stride,
                                            .rows = 1,
                                            .width = width,
                                            .weight = x.data() + x.stride,
                                            .epsilon = 1e-5f,
                                            .dy = x.data() + 2 * x.stride,
                                            .dy_stride = x.stride,
                                            .dx = x.data() + 3 * x.stride,
                                            .dx_stride = x.stride,
                                            .dweight = sums.data(),
                                            .dbias = sums.data() + sums.stride});
  });
}

/// Bytes of parameters, gradients and moments per second, read and written.
void adamw(benchmark::State& state) {
  constexpr int count = 1 << 22;
  const Rows arrays(4, count);
  const AdamwArgs args{.value = arrays.data(),
                       .gradient = arrays.data() + arrays.stride,
                       .first_moment = arrays.data() + 2 * arrays.stride,
                       .second_moment = arrays.data() + 3 * arrays.stride,
                       .count = count,
                       .learning_rate = 1e-3,
                       .weight_decay = 0.1};
  for (auto _ : state) training_kernels().adamw(args);
  state.SetBytesProcessed(state.iterations() * std::int64_t{count} * 7 * sizeof(float));
}

BENCHMARK_CAPTURE(input_gradient, f32, DType::f32)
    ->Args({577, 1024, 4096})
    ->Args({577, 1024, 1024})
    ->Args({1400, 4096, 4096});
BENCHMARK_CAPTURE(input_gradient, bf16, DType::bf16)->Args({577, 1024, 4096})->Args({1400, 4096, 4096});
BENCHMARK(weight_gradient)->Args({577, 1024, 4096})->Args({577, 1024, 1024})->Args({1400, 4096, 4096});
BENCHMARK(attention_backward)->Args({577, 64, 0})->Args({608, 128, 1});
BENCHMARK_CAPTURE(derivative, gelu, Activation::gelu);
BENCHMARK_CAPTURE(derivative, silu, Activation::silu);
BENCHMARK(layer_norm_backward);
BENCHMARK(adamw);

}  // namespace

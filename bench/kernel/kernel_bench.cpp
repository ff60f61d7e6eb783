// Kernels against the limits of the machine: of_peak is the share of the FMA peak, of_read that of the read bandwidth.
// With several threads, each computes its own share of rows or panels, as the library does.
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include <benchmark/benchmark.h>

#include "tessera/core/arena.hpp"
#include "tessera/kernel/kernels.hpp"

#include "peak.hpp"

using namespace tessera;
using bench::floats;
using bench::zeroed_buffer;

namespace {

std::vector<float> random_numbers(std::size_t count) {
  std::mt19937 generator(1);
  std::vector<float> numbers(count);
  for (float& number : numbers) number = static_cast<float>(generator()) * 0x1p-32f - 0.5f;
  return numbers;
}

/// Operands of y[rows][n] = x · Wᵀ, shared by the threads of a benchmark.
struct Product {
  Product(DType format, int rows, int n, int k)
      : weight(packed_bytes(format, n, k)),
        x_stride(Arena().mat<float>(rows, k).stride),
        y_stride(Arena().mat<float>(rows, n).stride),
        x(random_numbers(static_cast<std::size_t>(rows) * x_stride)),
        y(static_cast<std::size_t>(rows) * y_stride),
        bias(random_numbers(static_cast<std::size_t>(n))) {
    const std::vector<float> source = random_numbers(static_cast<std::size_t>(n) * k);
    pack_weight(format, DType::f32, source.data(), n, k, weight.data(), 0, panels_of(n));
    args = {.x = x.data(),
            .x_stride = x_stride,
            .weight = weight.data(),
            .format = format,
            .n = n,
            .k = k,
            .bias = bias.data(),
            .y = y.data(),
            .y_stride = y_stride,
            .row_end = rows,
            .panel_end = panels_of(n)};
  }

  /// One per shape, for all threads and repetitions.
  static const Product& shared(DType format, int rows, int n, int k) {
    static std::map<std::tuple<DType, int, int, int>, std::unique_ptr<Product>> all;
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    std::unique_ptr<Product>& product = all[{format, rows, n, k}];
    if (product == nullptr) product = std::make_unique<Product>(format, rows, n, k);
    return *product;
  }

  Buffer weight;
  std::ptrdiff_t x_stride, y_stride;  // rows lie as far apart as those of the library's workspace
  std::vector<float> x, y, bias;
  GemmArgs args;
};

/// The arguments of one of the benchmark's threads, which split the panels.
GemmArgs share_of_thread(GemmArgs args, const benchmark::State& state) {
  const int panels = args.panel_end;
  args.panel_begin = panels * state.thread_index() / state.threads();
  args.panel_end = panels * (state.thread_index() + 1) / state.threads();
  return args;
}

void gemm(benchmark::State& state, DType format, int rows, int n, int k, Activation activation) {
  GemmArgs args = share_of_thread(Product::shared(format, rows, n, k).args, state);
  args.activation = activation;
  const Buffer scratch = zeroed_buffer(gemm_scratch_floats(rows, k) * sizeof(float));
  args.scratch = floats(scratch);
  const double columns = (args.panel_end - args.panel_begin) * panel_columns;
  bench::report_of_peak(state, columns * rows * k, [&] { kernels().gemm(args); });
}

void gemv(benchmark::State& state, DType format) {
  GemmArgs args = share_of_thread(Product::shared(format, 1, 4096, 11008).args, state);
  const Buffer scratch = zeroed_buffer(gemm_scratch_floats(1, args.k) * sizeof(float));
  args.scratch = floats(scratch);
  const std::size_t panel_bytes = packed_panel_bytes(format, args.k);
  const std::byte* weight = static_cast<const std::byte*>(args.weight) + args.panel_begin * panel_bytes;
  bench::report_of_read(state, weight, (args.panel_end - args.panel_begin) * panel_bytes,
                        [&] { kernels().gemm(args); });
}

/// 16 heads, packing of keys and values included.
void attention(benchmark::State& state, int tokens, int head_dim, bool causal) {
  constexpr int heads = 16;
  const int width = 3 * heads * head_dim;
  const std::vector<float> qkv = random_numbers(static_cast<std::size_t>(tokens) * width);
  std::vector<float> y(static_cast<std::size_t>(tokens) * heads * head_dim);
  const Buffer keys = zeroed_buffer(packed_keys_floats(head_dim, tokens) * 4),
               values = zeroed_buffer(packed_values_floats(head_dim, tokens) * 4);
  const Buffer scratch = zeroed_buffer(attention_scratch_floats(head_dim, tokens) * 4);
  PackHeadArgs pack{.source_stride = width, .head_dim = head_dim, .key_end = tokens, .capacity = tokens};
  AttentionArgs args{.q_stride = width,
                     .keys = floats(keys),
                     .values = floats(values),
                     .capacity = tokens,
                     .key_count = tokens,
                     .head_dim = head_dim,
                     .queries = tokens,
                     .causal = causal,
                     .scale = 1.0f / std::sqrt(static_cast<float>(head_dim)),
                     .y_stride = heads * head_dim,
                     .query_end = tokens,
                     .scratch = floats(scratch)};
  const double pairs = causal ? 0.5 * tokens * (tokens + 1) : 1.0 * tokens * tokens;
  bench::report_of_peak(state, 2 * pairs * head_dim * heads, [&] {
    for (int head = 0; head < heads; ++head) {
      const float* q = qkv.data() + head * head_dim;
      pack.source = q + heads * head_dim;
      pack.packed = floats(keys);
      kernels().pack_keys(pack);
      pack.source = q + 2 * heads * head_dim;
      pack.packed = floats(values);
      kernels().pack_values(pack);
      args.q = q;
      args.y = y.data() + head * head_dim;
      kernels().attend(args);
    }
  });
}

/// Elements per second of functions on rows of 1024, hot in the L1 cache.
template <class Function>
void row(benchmark::State& state, Function function) {
  constexpr int width = 1024;
  const std::vector<float> x = random_numbers(width), weight = random_numbers(width), bias = random_numbers(width);
  std::vector<float> y(width);
  const NormArgs args{.x = x.data(),
                      .x_stride = width,
                      .rows = 1,
                      .width = width,
                      .weight = weight.data(),
                      .bias = bias.data(),
                      .epsilon = 1e-5f,
                      .y = y.data(),
                      .y_stride = width};
  for (auto _ : state) {
    function(args);
    benchmark::ClobberMemory();
  }
  state.counters["elements"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * width, benchmark::Counter::kIsRate);
}

void pack(benchmark::State& state, DType format, DType source_type) {
  const int n = 4096, k = 4096;
  const Buffer source = zeroed_buffer(size_of(source_type) * n * k), packed = zeroed_buffer(packed_bytes(format, n, k));
  bench::report_of_read(state, source.data(), size_of(source_type) * n * k,
                        [&] { pack_weight(format, source_type, source.data(), n, k, packed.data(), 0, panels_of(n)); });
}

void register_all() {
  using benchmark::RegisterBenchmark;
  struct Shape {
    const char* name;
    int rows, n, k;
  };
  for (const Shape s : {Shape{"577x1024x1024", 577, 1024, 1024}, Shape{"577x4096x1024", 577, 4096, 1024},
                        Shape{"577x1024x4096", 577, 1024, 4096}, Shape{"32x4096x4096", 32, 4096, 4096}})
    for (const DType format : {DType::f32, DType::bf16, DType::f16})
      for (const int threads : {1, 2})
        RegisterBenchmark((std::string("gemm/") + s.name + "/" + std::string(name_of(format))).c_str(), gemm, format,
                          s.rows, s.n, s.k, Activation::identity)
            ->Threads(threads)
            ->UseRealTime();
  RegisterBenchmark("gemm/577x4096x1024/f32/gelu", gemm, DType::f32, 577, 4096, 1024, Activation::gelu);
  for (const DType format : {DType::f32, DType::bf16, DType::f16})
    for (const int threads : {1, 2})
      RegisterBenchmark(("gemv/4096x11008/" + std::string(name_of(format))).c_str(), gemv, format)
          ->Threads(threads)
          ->UseRealTime();
  RegisterBenchmark("attention/577x64", attention, 577, 64, false);
  RegisterBenchmark("attention/608x128/causal", attention, 608, 128, true);
  RegisterBenchmark("layer_norm", row<void (*)(const NormArgs&)>, [](const NormArgs& a) { kernels().layer_norm(a); });
  RegisterBenchmark("rms_norm", row<void (*)(const NormArgs&)>, [](const NormArgs& a) { kernels().rms_norm(a); });
  RegisterBenchmark("gelu", row<void (*)(const NormArgs&)>,
                    [](const NormArgs& a) { kernels().activate(Activation::gelu, a.x, a.width, a.y); });
  RegisterBenchmark("silu", row<void (*)(const NormArgs&)>,
                    [](const NormArgs& a) { kernels().activate(Activation::silu, a.x, a.width, a.y); });
  for (const DType format : {DType::f32, DType::bf16, DType::f16})
    RegisterBenchmark(("pack/" + std::string(name_of(format))).c_str(), pack, format, format);
  RegisterBenchmark("pack/bf16_from_f32", pack, DType::bf16, DType::f32);
}

}  // namespace

int main(int argc, char** argv) {
  register_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}

// Parts of LLaVA-1.5-7B at full size with random weights: of_peak is the share of the FMA peak of the threads used,
// of_read that of the best read bandwidth they reach together; both limits are measured in the same run.

#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "tessera/language/presets.hpp"
#include "tessera/model/llava.hpp"
#include "tessera/ops/native.hpp"
#include "tessera/vision/presets.hpp"

#include "model/parts.hpp"

using namespace tessera;

namespace {

/// Eight of the 32 blocks of Vicuna-7B, and its head.
struct EightBlocks : presets::Vicuna7B {
  static constexpr int depth = 8;
};

template <class Part>
struct Loaded {
  ops::Native ops;
  WeightStore store;
  Part part;
  explicit Loaded(Part p) : part(std::move(p)) { bench::fill(part, ops, store); }
};

/// Builds a part once for all benchmarks that use it, and frees the one before: they do not fit together.
template <class Part, class Make>
Loaded<Part>& loaded(Make&& make) {
  static std::unique_ptr<Loaded<Part>> part;
  if (part == nullptr) part = std::make_unique<Loaded<Part>>(make());
  return *part;
}

/// Bytes per second that `threads` cores read together.
double read_bandwidth(const Buffer& memory, int threads) {
  const auto start = std::chrono::steady_clock::now();
  const std::size_t piece = memory.size() / static_cast<std::size_t>(threads);
  parallel_for(threads, threads, 1, [&](int begin, int, int) {
    bench::bytes_per_second(memory.data() + piece * static_cast<std::size_t>(begin), piece);
  });
  return static_cast<double>(piece * static_cast<std::size_t>(threads)) /
         std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Multiply-adds of one image through the blocks that LLaVA runs (kernels.md: 23 of 24, 577 tokens).
double vision_multiply_adds() {
  constexpr double tokens = 577, width = 1024, inner = 4096, patch = 588;
  return (tokens - 1) * patch * width +
         23 * (tokens * (4 * width * width + 2 * width * inner) + 2 * tokens * tokens * width);
}

void encode_image(benchmark::State& state) {
  const int threads = static_cast<int>(state.range(0));
  using Tower = ViT<presets::ClipL14_336, f32>;
  Loaded<Tower>& tower = loaded<Tower>([] { return Tower(presets::ClipL14_336{}); });
  const std::vector<float> image(tower.part.pixels(), 0.1f);
  std::vector<float> rows(static_cast<std::size_t>(tower.part.tokens()) * 1024);
  const Mat<float> y = dense(rows.data(), tower.part.tokens(), 1024);
  Arena arena = plan_workspace(tower.ops, threads, [&](auto& c) { infer(tower.part, c, image.data(), y); });
  Context<ops::Native> c(tower.ops, arena, threads);
  bench::report_best(
      state, "of_peak", vision_multiply_adds(), [&] { infer(tower.part, c, image.data(), y); },
      [&] { return bench::peak(threads); });
}

using Language = Llama<EightBlocks, bf16>;

Loaded<Language>& language() {
  return loaded<Language>([] { return Language(EightBlocks{}); });
}

/// Runs `tokens` rows that follow `past` tokens, and the head for the last row.
void run_language(benchmark::State& state, int tokens, int past, const char* counter, double amount, auto&& limit) {
  const int threads = static_cast<int>(state.range(0));
  Loaded<Language>& model = language();
  KvCache<float> cache = model.part.make_cache<float>(past + tokens);
  Arena values(64 << 20);
  const Mat<float> x = values.mat<float>(tokens, 4096), y = values.mat<float>(tokens, 4096),
                   logits = values.mat<float>(1, 32000);
  for (int r = 0; r < tokens; ++r) std::fill_n(x.row(r), 4096, 0.01f * static_cast<float>(r + 1));
  const auto pass = [&](auto& c) {
    cache.shrink(0);
    cache.grow(past);
    model.part.forward(c, x, y, cache);
    model.part.head(c, y.rows_at(tokens - 1, 1), logits);
  };
  Arena arena = plan_workspace(model.ops, threads, pass);
  Context<ops::Native> c(model.ops, arena, threads);
  bench::report_best(
      state, counter, amount, [&] { pass(c); }, limit);
}

void prefill(benchmark::State& state) {
  constexpr double tokens = 600, width = 4096, inner = 11008;
  const double work = 8 * (tokens * (4 * width * width + 3 * width * inner) + tokens * tokens * width) + width * 32000;
  run_language(state, 600, 0, "of_peak", work, [&] { return bench::peak(static_cast<int>(state.range(0))); });
}

/// A step reads all weights, and the keys and values of the tokens before it.
void decode(benchmark::State& state) {
  constexpr int past = 600;  // an image and a question
  const Buffer memory = bench::zeroed_buffer(std::size_t{1} << 30);
  const Loaded<Language>& model = language();
  const std::size_t bytes = model.ops.packed_size() + model.part.counting_cache<float>(past).bytes();
  run_language(state, 1, past, "of_read", static_cast<double>(bytes),
               [&] { return read_bandwidth(memory, static_cast<int>(state.range(0))); });
}

}  // namespace

BENCHMARK(encode_image)->Arg(1)->Arg(2)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(4);
BENCHMARK(prefill)->Arg(1)->Arg(2)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(2);
BENCHMARK(decode)->Arg(1)->Arg(2)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(8);

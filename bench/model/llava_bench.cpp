// Parts of LLaVA-1.5-7B at full size with random weights: of_peak is the share of the FMA peak of the threads used,
// of_read that of the best read bandwidth they reach together; both limits are measured in the same run.

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include <benchmark/benchmark.h>

#include "tessera/core/params.hpp"
#include "tessera/core/weight_store.hpp"
#include "tessera/language/presets.hpp"
#include "tessera/model/llava.hpp"
#include "tessera/ops/native.hpp"
#include "tessera/vision/presets.hpp"

#include "peak.hpp"

using namespace tessera;

namespace {

/// Eight of the 32 blocks of Vicuna-7B, and its head.
struct EightBlocks : presets::Vicuna7B {
  static constexpr int depth = 8;
};

/// Gives every parameter memory and small numbers of both signs; `initialize` would take a minute for its normal ones.
template <class Part>
void fill(Part& part, ops::Native& ops, WeightStore& store) {
  for_each_param(
      [&]<class W>(std::string_view, W& weight) {
        std::byte* memory = store.allocate(weight.bytes());
        with_format(weight.dtype(), [&]<class Format>(Format) {
          auto* values = reinterpret_cast<typename Format::storage*>(memory);
          typename Format::storage pattern[64];
          for (int i = 0; i < 64; ++i) pattern[i] = Format::encode(0.01f * static_cast<float>(i * 37 % 64 - 32) / 32);
          for (std::size_t i = 0; i < weight.size(); ++i) values[i] = pattern[(i ^ i >> 8) % 64];
        });
        weight.attach(memory);
        if constexpr (W::use == WeightUse::matrix) ops.bind(weight.view(), weight.dtype(), memory);
      },
      part);
}

template <class Part>
struct Loaded {
  ops::Native ops;
  WeightStore store;
  Part part;
  explicit Loaded(Part p) : part(std::move(p)) { fill(part, ops, store); }
};

/// Builds a part once for all benchmarks that use it, and frees the one before: they do not fit together.
template <class Part, class Make>
Loaded<Part>& loaded(Make&& make) {
  static std::unique_ptr<Loaded<Part>> part;
  if (part == nullptr) part = std::make_unique<Loaded<Part>>(make());
  return *part;
}

/// The FMA peak of `threads` cores together, running at the same time.
double peak(int threads) {
  std::vector<double> rates(static_cast<std::size_t>(threads));
  parallel_for(threads, threads, 1, [&](int begin, int, int) {
    rates[static_cast<std::size_t>(begin)] = bench::multiply_adds_per_second();
  });
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}

/// Bytes per second that `threads` cores read together.
double read_bandwidth(const bench::HugePages& memory, int threads) {
  const auto start = std::chrono::steady_clock::now();
  const std::size_t piece = memory.bytes() / static_cast<std::size_t>(threads);
  parallel_for(threads, threads, 1, [&](int begin, int, int) {
    bench::bytes_per_second(memory.as<char>() + piece * static_cast<std::size_t>(begin), piece);
  });
  return static_cast<double>(piece * static_cast<std::size_t>(threads)) /
         std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Times `work`; its best run and the best of the limit, which take turns, become the counters.
template <class Work, class Limit>
void report(benchmark::State& state, const char* counter, double amount, Work&& work, Limit&& limit) {
  double best = 0, best_limit = 0;
  for (auto _ : state) {
    best_limit = std::max(best_limit, limit());
    const auto start = std::chrono::steady_clock::now();
    work();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    state.SetIterationTime(seconds);
    best = std::max(best, amount / seconds);
  }
  state.counters[counter] = best / best_limit;
  state.counters["best_s"] = amount / best;
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
  report(
      state, "of_peak", vision_multiply_adds(), [&] { infer(tower.part, c, image.data(), y); },
      [&] { return peak(threads); });
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
  report(
      state, counter, amount, [&] { pass(c); }, limit);
}

void prefill(benchmark::State& state) {
  constexpr double tokens = 600, width = 4096, inner = 11008;
  const double work = 8 * (tokens * (4 * width * width + 3 * width * inner) + tokens * tokens * width) + width * 32000;
  run_language(state, 600, 0, "of_peak", work, [&] { return peak(static_cast<int>(state.range(0))); });
}

void decode(benchmark::State& state) {
  const bench::HugePages memory(std::size_t{1} << 30);
  const double bytes = static_cast<double>(language().ops.packed_size());
  run_language(state, 1, 600, "of_read", bytes,
               [&] { return read_bandwidth(memory, static_cast<int>(state.range(0))); });
}

}  // namespace

BENCHMARK(encode_image)->Arg(1)->Arg(2)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(4);
BENCHMARK(prefill)->Arg(1)->Arg(2)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(2);
BENCHMARK(decode)->Arg(1)->Arg(2)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(8);

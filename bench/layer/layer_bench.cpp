// Blocks at their published sizes through each backend, f32, all threads: of_peak is the share of one core's FMA peak
// times the threads.

#include <algorithm>
#include <chrono>
#include <map>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "tessera/language/presets.hpp"
#include "tessera/model/initialize.hpp"
#include "tessera/ops/native.hpp"
#include "tessera/vision/presets.hpp"

#include "peak.hpp"
#if defined(TESSERA_WITH_ONEDNN)
#include "tessera/ops/onednn.hpp"
#endif
#if defined(TESSERA_WITH_EIGEN)
#include "tessera/ops/eigen.hpp"
#endif

using namespace tessera;

namespace {

/// Times forward(context, x, y) of a layer on `tokens` rows.
template <class OpsT, class L, class Forward>
void run(benchmark::State& state, L layer, int tokens, int in, double multiply_adds, Forward&& forward) {
  OpsT ops;
  WeightStore store;
  initialize(layer, ops, store, 1);
  const int threads = static_cast<int>(state.range(0));
  Arena values(256 << 20);
  const Mat<float> x = values.mat<float>(tokens, in), y = values.mat<float>(tokens, layer.out());
  for (int r = 0; r < tokens; ++r) std::fill_n(x.row(r), in, 0.001f * static_cast<float>(r % 100));
  Arena arena = plan_workspace(ops, threads, [&](auto& c) { forward(layer, c, x, y); });
  Context<OpsT> c(ops, arena, threads);
  double best = 0, best_peak = 0;
  for (auto _ : state) {
    best_peak = std::max(best_peak, bench::multiply_adds_per_second());
    const auto start = std::chrono::steady_clock::now();
    forward(layer, c, x, y);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    state.SetIterationTime(seconds);
    best = std::max(best, multiply_adds / seconds);
  }
  state.counters["of_peak"] = best / (best_peak * threads);
}

constexpr double vit_block_macs = 577.0 * (4 * 1024 * 1024 + 2 * 1024 * 4096) + 2.0 * 577 * 577 * 1024;
constexpr double llama_block_macs = 600.0 * (4.0 * 4096 * 4096 + 3.0 * 4096 * 11008) + 600.0 * 600 * 4096;

template <class OpsT>
void vit_block(benchmark::State& state) {
  using Block = ViTBlock<presets::ClipL14_336, f32>;
  run<OpsT>(state, Block(presets::ClipL14_336{}), 577, 1024, vit_block_macs,
            [](const Block& b, auto& c, auto x, auto y) { infer(b, c, x, y, AttentionInputs<float>{}); });
}

template <class OpsT>
void llama_block(benchmark::State& state) {
  using Block = LlamaBlock<presets::Vicuna7B, f32>;
  const Rotary rotary(128, {});
  run<OpsT>(state, Block(presets::Vicuna7B{}), 600, 4096, llama_block_macs,
            [&](const Block& b, auto& c, auto x, auto y) {
              const Arena::Scope scope(c.arena);
              const RotaryTables<float> rope = rotary.tables(c, 0, x.rows);
              infer(b, c, x, y, AttentionInputs<float>{.rope = &rope});
            });
}

template <class OpsT>
void add(const char* backend) {
  for (auto* b :
       {benchmark::RegisterBenchmark((std::string("vit_l_block/") + backend).c_str(), vit_block<OpsT>),
        benchmark::RegisterBenchmark((std::string("llama_7b_block/") + backend).c_str(), llama_block<OpsT>)}) {
    b->Arg(1)->Arg(2)->UseManualTime()->Unit(benchmark::kMillisecond)->MinTime(0.5);
  }
}

const bool registered = [] {
  add<ops::Native>("native");
#if defined(TESSERA_WITH_ONEDNN)
  add<ops::OneDnn>("onednn");
#endif
#if defined(TESSERA_WITH_EIGEN)
  add<ops::EigenOps>("eigen");
#endif
  return true;
}();

}  // namespace

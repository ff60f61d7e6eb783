#pragma once
/// What the benchmarks of whole parts share: weights, the limit of several threads, and the loop that measures.

#include <algorithm>
#include <chrono>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>

#include "tessera/core/params.hpp"
#include "tessera/core/weight_store.hpp"
#include "tessera/format/float_formats.hpp"

#include "peak.hpp"

namespace tessera::bench {

/// Gives every parameter memory and small numbers of both signs; `initialize` would take a minute for its normal ones.
template <class Part, class OpsT>
void fill(Part& part, OpsT& ops, WeightStore& store) {
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
        if constexpr (OpsT::keeps_copies && W::use == WeightUse::matrix)
          ops.bind(weight.view(), weight.dtype(), memory);
      },
      part);
}

/// The FMA peak of `threads` cores together, running at the same time.
inline double peak(int threads) {
  std::vector<double> rates(static_cast<std::size_t>(threads));
  parallel_for(threads, threads, 1,
               [&](int begin, int, int) { rates[static_cast<std::size_t>(begin)] = multiply_adds_per_second(); });
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}

/// Times `work`; its best run and the best of the limit, which take turns, become the counters.
template <class Work, class Limit>
void report_best(benchmark::State& state, const char* counter, double amount, Work&& work, Limit&& limit) {
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

}  // namespace tessera::bench

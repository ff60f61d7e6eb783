#pragma once
/// What this machine can do at best, measured in the same run as the kernels that are compared with it.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <ctime>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "tessera/core/memory.hpp"
#include "tessera/kernel/isa.hpp"

namespace tessera::bench {

/// Memory that a benchmark may read at once: untouched pages would all be the same few zeros in the cache.
inline Buffer zeroed_buffer(std::size_t bytes) {
  Buffer buffer(bytes);
  std::fill_n(buffer.data(), bytes, std::byte{0});
  return buffer;
}

inline float* floats(const Buffer& buffer) { return reinterpret_cast<float*>(buffer.data()); }

/// Seconds that this thread was running: time which the system gives to other processes does not count.
inline double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

template <class Function>
double seconds_of(Function&& function) {
  const double begin = thread_seconds();
  function();
  return thread_seconds() - begin;
}

/// Multiply-adds per second of one core, from registers only. One asm block, because compilers spill such a loop.
inline double multiply_adds_per_second() {
  constexpr long repeats = 1000000;  // 2 ms: far longer than reading the clock takes, and as long as kernels run
  const int lanes = detected_isa() == Isa::avx512 ? 16 : 8;
  const auto run = [lanes] {
    long left = repeats;
#define TESSERA_BENCH_12(r)                                                                                       \
  "1:\n vfmadd231ps " r "15," r "15," r "0\n vfmadd231ps " r "15," r "15," r "1\n vfmadd231ps " r "15," r "15," r \
  "2\n vfmadd231ps " r "15," r "15," r "3\n vfmadd231ps " r "15," r "15," r "4\n vfmadd231ps " r "15," r "15," r  \
  "5\n vfmadd231ps " r "15," r "15," r "6\n vfmadd231ps " r "15," r "15," r "7\n vfmadd231ps " r "15," r "15," r  \
  "8\n vfmadd231ps " r "15," r "15," r "9\n vfmadd231ps " r "15," r "15," r "10\n vfmadd231ps " r "15," r "15," r \
  "11\n dec %0\n jnz 1b\n vzeroupper\n"
#define TESSERA_BENCH_CLOBBERS \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm15", "cc"
    if (lanes == 16)
      asm volatile("vpxorq %%zmm15,%%zmm15,%%zmm15\n" TESSERA_BENCH_12("%%zmm") : "+r"(left)::TESSERA_BENCH_CLOBBERS);
    else
      asm volatile("vxorps %%ymm15,%%ymm15,%%ymm15\n" TESSERA_BENCH_12("%%ymm") : "+r"(left)::TESSERA_BENCH_CLOBBERS);
#undef TESSERA_BENCH_CLOBBERS
#undef TESSERA_BENCH_12
  };
  return repeats * 12.0 * lanes / seconds_of(run);
}

/// Bytes per second of one thread reading `bytes` bytes. Three ascending streams: one leaves the prefetchers of some
/// CPUs a fifth below what the memory gives.
inline double bytes_per_second(const void* data, std::size_t bytes) {
  const std::size_t third = bytes / 3 / 128 * 128;
  const auto run = [&] {
    const char *p = static_cast<const char*>(data), *q = p + third, *r = q + third, *end = q;
    asm volatile(
        "1: vorps (%0),%%ymm0,%%ymm0\n vorps 32(%0),%%ymm1,%%ymm1\n vorps 64(%0),%%ymm2,%%ymm2\n"
        "vorps 96(%0),%%ymm3,%%ymm3\n vorps (%1),%%ymm0,%%ymm0\n vorps 32(%1),%%ymm1,%%ymm1\n"
        "vorps 64(%1),%%ymm2,%%ymm2\n vorps 96(%1),%%ymm3,%%ymm3\n vorps (%2),%%ymm0,%%ymm0\n"
        "vorps 32(%2),%%ymm1,%%ymm1\n vorps 64(%2),%%ymm2,%%ymm2\n vorps 96(%2),%%ymm3,%%ymm3\n"
        "add $128,%0\n add $128,%1\n add $128,%2\n cmp %3,%0\n jb 1b\n vzeroupper\n"
        : "+&r"(p), "+&r"(q), "+&r"(r)
        : "r"(end)
        : "xmm0", "xmm1", "xmm2", "xmm3", "cc", "memory");
  };
  return static_cast<double>(3 * third) / seconds_of(run);
}

/// The share of a machine's limit that a piece of work reaches. Clock and neighbours change within milliseconds, so the
/// limit is measured right before and right after every run, and each run has its own share.
class Shares {
 public:
  explicit Shares(double amount) : amount_(amount) {}

  /// Runs `work` between two measurements of `limit`, both in units of the amount per second.
  template <class Work, class Limit>
  void run(Work&& work, Limit&& limit) {
    const double before = limit();
    rates_.push_back(amount_ / seconds_of(work));
    shares_.push_back(rates_.back() * (1 / before + 1 / limit()) / 2);
  }

  /// The median rate and share; and the share of the least disturbed tenth of the runs.
  double rate() { return quantile(rates_, 0.5); }
  double share() { return quantile(shares_, 0.5); }
  double undisturbed_share() { return quantile(shares_, 0.9); }

 private:
  static double quantile(std::vector<double>& values, double part) {
    const auto position = values.begin() + std::lround(part * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), position, values.end());
    return *position;
  }

  double amount_;
  std::vector<double> rates_, shares_;
};

/// Runs `work` for each iteration of the benchmark. Counters: its median rate in `unit`, 1e9 a second; `of_limit`, the
/// median share of the limit, and best_`of_limit`, that of the least disturbed runs.
template <class Work, class Limit>
void report(benchmark::State& state, const char* unit, const std::string& of_limit, double amount, Work&& work,
            Limit&& limit) {
  Shares shares(amount);
  for (auto _ : state) shares.run(work, limit);
  const auto average = [](double value) { return benchmark::Counter(value, benchmark::Counter::kAvgThreads); };
  state.counters[unit] = average(shares.rate() * 1e-9);
  state.counters[of_limit] = average(shares.share());
  state.counters["best_" + of_limit] = average(shares.undisturbed_share());
}

/// Work of so many multiply-adds against the FMA peak.
template <class Work>
void report_of_peak(benchmark::State& state, double multiply_adds, Work&& work) {
  report(state, "GMAC/s", "of_peak", multiply_adds, work, multiply_adds_per_second);
}

/// Work that streams `bytes` bytes from `data` against the read bandwidth.
template <class Work>
void report_of_read(benchmark::State& state, const void* data, std::size_t bytes, Work&& work) {
  report(state, "GB/s", "of_read", static_cast<double>(bytes), work, [&] { return bytes_per_second(data, bytes); });
}

}  // namespace tessera::bench

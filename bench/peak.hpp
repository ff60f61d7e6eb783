#pragma once
/// What this machine can do at best, measured in the same run as the kernels that are compared with it.

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>

#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include "tessera/kernel/isa.hpp"

namespace tessera::bench {

/// Memory for weights: 2 MiB aligned and in huge pages, which are worth a third of the read bandwidth.
class HugePages {
 public:
  explicit HugePages(std::size_t bytes)
      : bytes_((bytes + huge - 1) / huge * huge), data_(std::aligned_alloc(huge, bytes_)) {
    if (data_ == nullptr) throw std::bad_alloc();
    madvise(data_, bytes_, MADV_HUGEPAGE);
    std::memset(data_, 0, bytes_);
  }
  ~HugePages() { std::free(data_); }
  HugePages(const HugePages&) = delete;
  HugePages& operator=(const HugePages&) = delete;

  template <class T = float>
  T* as() const {
    return static_cast<T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }

 private:
  static constexpr std::size_t huge = std::size_t{2} << 20;
  std::size_t bytes_;
  void* data_;
};

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
  constexpr long repeats = 4000;
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

/// Bytes per second of one thread reading `bytes` bytes in one ascending stream.
inline double bytes_per_second(const void* data, std::size_t bytes) {
  const auto run = [&] {
    const char *p = static_cast<const char*>(data), *end = p + bytes / 256 * 256;
    asm volatile(
        "1: vorps (%0),%%ymm0,%%ymm0\n vorps 32(%0),%%ymm1,%%ymm1\n vorps 64(%0),%%ymm2,%%ymm2\n"
        "vorps 96(%0),%%ymm3,%%ymm3\n vorps 128(%0),%%ymm0,%%ymm0\n vorps 160(%0),%%ymm1,%%ymm1\n"
        "vorps 192(%0),%%ymm2,%%ymm2\n vorps 224(%0),%%ymm3,%%ymm3\n add $256,%0\n cmp %1,%0\n jb 1b\n vzeroupper\n"
        : "+r"(p)
        : "r"(end)
        : "xmm0", "xmm1", "xmm2", "xmm3", "cc", "memory");
  };
  return static_cast<double>(bytes) / seconds_of(run);
}

/// The best rate of a piece of work and of the machine beside it: others disturb, so both are the best of many runs
/// that take turns.
class BestRate {
 public:
  explicit BestRate(double amount) : amount_(amount) {}
  template <class Work, class Limit>
  void run(Work&& work, Limit&& limit) {
    best_limit_ = std::max(best_limit_, limit());
    best_ = std::max(best_, amount_ / seconds_of(work));
  }
  double rate() const { return best_; }
  double share() const { return best_ / best_limit_; }

 private:
  double amount_, best_ = 0, best_limit_ = 0;
};

/// Runs `work` for each iteration of the benchmark and reports its best multiply-adds against the FMA peak.
template <class Work>
void report_of_peak(benchmark::State& state, double multiply_adds, Work&& work) {
  BestRate best(multiply_adds);
  for (auto _ : state) best.run(work, multiply_adds_per_second);
  state.counters["GMAC/s"] = benchmark::Counter(best.rate() * 1e-9, benchmark::Counter::kAvgThreads);
  state.counters["of_peak"] = benchmark::Counter(best.share(), benchmark::Counter::kAvgThreads);
}

/// The same for work that streams `bytes` bytes from `data`, against the read bandwidth.
template <class Work>
void report_of_read(benchmark::State& state, const void* data, std::size_t bytes, Work&& work) {
  BestRate best(static_cast<double>(bytes));
  for (auto _ : state) best.run(work, [&] { return bytes_per_second(data, bytes); });
  state.counters["GB/s"] = benchmark::Counter(best.rate() * 1e-9, benchmark::Counter::kAvgThreads);
  state.counters["of_read"] = benchmark::Counter(best.share(), benchmark::Counter::kAvgThreads);
}

}  // namespace tessera::bench

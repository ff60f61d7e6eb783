#pragma once
/// Which instruction set the kernels use. Nothing depends on compiler flags: every level is compiled into the program
/// and the best one that CPU and operating system support is chosen at run time.

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "tessera/core/error.hpp"

namespace tessera {

/// `scalar` is plain C++ and runs everywhere, `avx2` is AVX2 + FMA + F16C, `avx512` adds AVX-512 F, VL, BW and DQ.
enum class Isa : std::uint8_t { scalar, avx2, avx512 };

constexpr std::string_view name_of(Isa isa) {
  constexpr std::string_view names[] = {"scalar", "avx2", "avx512"};
  return names[static_cast<std::size_t>(isa)];
}

/// Throws Error for an unknown name.
inline Isa isa_from_name(std::string_view name) {
  for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512})
    if (name == name_of(isa)) return isa;
  fail("unknown instruction set '", name, "': expected scalar, avx2 or avx512");
}

namespace detail {
inline Isa ask_cpu() noexcept {
#if defined(__x86_64__)
  constexpr unsigned osxsave = 1u << 27, fma = 1u << 12, f16c = 1u << 29;                 // leaf 1, ecx
  constexpr unsigned avx2 = 1u << 5, avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // leaf 7, ebx: F, DQ, BW, VL
  constexpr unsigned ymm_state = 0x06, zmm_state = 0xe0;                                  // XCR0
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned leaf1 = osxsave | fma | f16c;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || (ecx & leaf1) != leaf1) return Isa::scalar;
  unsigned xcr0 = 0, xcr0_high = 0;
  __asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(xcr0_high) : "c"(0));
  if ((xcr0 & ymm_state) != ymm_state || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return Isa::scalar;
  if ((ebx & avx2) == 0) return Isa::scalar;
  return (ebx & avx512) == avx512 && (xcr0 & zmm_state) == zmm_state ? Isa::avx512 : Isa::avx2;
#else
  return Isa::scalar;
#endif
}
}  // namespace detail

/// The best level of this CPU whose registers the operating system saves. Asked once: in a virtual machine the
/// instruction takes microseconds.
inline Isa detected_isa() noexcept {
  static const Isa isa = detail::ask_cpu();
  return isa;
}

namespace detail {
inline Isa lower_isa(Isa a, Isa b) { return a < b ? a : b; }

inline Isa initial_isa() {
  const char* cap = std::getenv("TESSERA_ISA");
  return cap == nullptr ? detected_isa() : lower_isa(isa_from_name(cap), detected_isa());
}

inline std::atomic<Isa>& isa_state() {
  static std::atomic<Isa> state{initial_isa()};
  return state;
}
}  // namespace detail

/// The level that kernels() uses: the detected one, capped by the environment variable TESSERA_ISA and by cap_isa().
/// Throws Error if TESSERA_ISA is not the name of a level.
inline Isa active_isa() { return detail::isa_state().load(std::memory_order_relaxed); }

/// Makes `highest` the highest level in use, for tools and tests. Results of running kernels are not affected.
inline void cap_isa(Isa highest) { detail::isa_state() = detail::lower_isa(highest, detected_isa()); }

}  // namespace tessera

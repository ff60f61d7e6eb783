#pragma once
/// The CPU kernels: `kernels().gemm(args)` runs the best version for this CPU. Interface in table.hpp.
///
/// Every body in inl/ is compiled once for each instruction set, inside a region that enables the instructions for its
/// functions only, so that users need no compiler flag. What the bodies rely on:
///   - all headers are included before the first region, and nothing but our own code is defined inside one;
///   - each target has its own namespace, inside an inline namespace named after the instructions which the command
///     line enables: files of one program compiled with different flags never share a kernel;
///   - only pointers, numbers and argument structs cross the border of a region.

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "tessera/core/activation.hpp"
#include "tessera/core/dtype.hpp"
#include "tessera/core/error.hpp"
#include "tessera/format/float_formats.hpp"
#include "tessera/kernel/inl/gelu_table.inl.hpp"
#include "tessera/kernel/isa.hpp"
#include "tessera/kernel/pack.hpp"
#include "tessera/kernel/table.hpp"

#define TESSERA_INLINE [[gnu::always_inline]] inline
#define TESSERA_NOINLINE [[gnu::noinline]] inline
#define TESSERA_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define TESSERA_UNROLL _Pragma("unroll")
#define TESSERA_BEGIN_TARGET(list) \
  TESSERA_PRAGMA(clang attribute push(__attribute__((target(list))), apply_to = function))
#define TESSERA_END_TARGET _Pragma("clang attribute pop")
#else
#define TESSERA_UNROLL _Pragma("GCC unroll 32")
#define TESSERA_BEGIN_TARGET(list) _Pragma("GCC push_options") TESSERA_PRAGMA(GCC target(list))
#define TESSERA_END_TARGET _Pragma("GCC pop_options")
#endif

#if defined(__AVX512F__)
#define TESSERA_COMMAND_LINE_ISA built_with_avx512
#elif defined(__AVX2__)
#define TESSERA_COMMAND_LINE_ISA built_with_avx2
#elif defined(__AVX__)
#define TESSERA_COMMAND_LINE_ISA built_with_avx
#else
#define TESSERA_COMMAND_LINE_ISA built_for_baseline
#endif

#define TESSERA_TARGET scalar
#include "tessera/kernel/inl/target.inl.hpp"
#undef TESSERA_TARGET

#if defined(__x86_64__)
#if !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // g++ 12: false positives inside its own avx512fintrin.h
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#define TESSERA_TARGET avx2
#define TESSERA_TARGET_AVX2 1
TESSERA_BEGIN_TARGET("avx,avx2,fma,f16c,bmi,bmi2")
#include "tessera/kernel/inl/target.inl.hpp"
TESSERA_END_TARGET
#undef TESSERA_TARGET_AVX2
#undef TESSERA_TARGET

#define TESSERA_TARGET avx512
#define TESSERA_TARGET_AVX512 1
TESSERA_BEGIN_TARGET("avx,avx2,fma,f16c,bmi,bmi2,avx512f,avx512vl,avx512bw,avx512dq")
#include "tessera/kernel/inl/target.inl.hpp"
TESSERA_END_TARGET
#undef TESSERA_TARGET_AVX512
#undef TESSERA_TARGET

#if !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#endif  // x86-64

namespace tessera {
inline namespace TESSERA_COMMAND_LINE_ISA {

/// The kernels of one level. Throws Error if this CPU lacks it.
inline const KernelTable& kernels(Isa isa) {
  if (isa > detected_isa()) fail("this CPU has no ", name_of(isa), ": expected at most ", name_of(detected_isa()));
#if defined(__x86_64__)
  if (isa == Isa::avx512) return kernel::avx512::table;
  if (isa == Isa::avx2) return kernel::avx2::table;
#endif
  return kernel::scalar::table;
}

/// The kernels of active_isa().
inline const KernelTable& kernels() { return kernels(active_isa()); }

}  // namespace TESSERA_COMMAND_LINE_ISA
}  // namespace tessera

#undef TESSERA_INLINE
#undef TESSERA_NOINLINE
#undef TESSERA_PRAGMA
#undef TESSERA_UNROLL
#undef TESSERA_BEGIN_TARGET
#undef TESSERA_END_TARGET
#undef TESSERA_COMMAND_LINE_ISA

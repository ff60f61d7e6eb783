// Compiles the file that TESSERA_TARGET_BODIES names once for each instruction set: see kernels.hpp. No include guard,
// as several headers have bodies. TESSERA_COMMAND_LINE_ISA stays defined for the includer's own inline namespace.

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
#include TESSERA_TARGET_BODIES
#undef TESSERA_TARGET

#if defined(__x86_64__)
#if !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // g++ 12: false positives inside its own
                                                  // avx512fintrin.h
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#define TESSERA_TARGET avx2
#define TESSERA_TARGET_AVX2 1
TESSERA_BEGIN_TARGET("avx,avx2,fma,f16c,bmi,bmi2")
#include TESSERA_TARGET_BODIES
TESSERA_END_TARGET
#undef TESSERA_TARGET_AVX2
#undef TESSERA_TARGET

#define TESSERA_TARGET avx512
#define TESSERA_TARGET_AVX512 1
TESSERA_BEGIN_TARGET("avx,avx2,fma,f16c,bmi,bmi2,avx512f,avx512vl,avx512bw,avx512dq")
#include TESSERA_TARGET_BODIES
TESSERA_END_TARGET
#undef TESSERA_TARGET_AVX512
#undef TESSERA_TARGET

#if !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#endif  // x86-64

#undef TESSERA_INLINE
#undef TESSERA_NOINLINE
#undef TESSERA_PRAGMA
#undef TESSERA_UNROLL
#undef TESSERA_BEGIN_TARGET
#undef TESSERA_END_TARGET
#undef TESSERA_TARGET_BODIES

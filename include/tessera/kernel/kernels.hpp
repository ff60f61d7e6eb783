#pragma once
/// The CPU kernels: `kernels().gemm(args)` runs the best version for this CPU. Interface in table.hpp.
///
/// Every body in inl/ is compiled once for each instruction set, inside a region that enables the instructions for its
/// functions only, so that users need no compiler flag. What the bodies rely on:
///   - all headers are included before the first region, and nothing but our own code is defined inside one;
///   - each target has its own namespace, inside an inline namespace named after the instructions which the command
///     line enables: files of one program compiled with different flags never share a kernel;
///   - only pointers, numbers and argument structs cross the border of a region.
///
/// A file that uses kernels compiles them, which takes seconds. With TESSERA_COMPILED_KERNELS defined it leaves that to
/// one file of the program: CMake's target tessera::kernels defines the macro and has that file.

#include "tessera/kernel/isa.hpp"
#include "tessera/kernel/pack.hpp"
#include "tessera/kernel/table.hpp"

#if defined(TESSERA_COMPILED_KERNELS)

namespace tessera {
inline namespace compiled {

const KernelTable& kernels(Isa isa);
inline const KernelTable& kernels() { return kernels(active_isa()); }

}  // namespace compiled
}  // namespace tessera

#else

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

#define TESSERA_TARGET_BODIES "tessera/kernel/inl/target.inl.hpp"
#include "tessera/kernel/inl/for_each_target.inl.hpp"

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

#undef TESSERA_COMMAND_LINE_ISA

#endif

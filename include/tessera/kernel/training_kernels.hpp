#pragma once
/// The kernels that only training needs: `training_kernels().adamw(args)` runs the best version for this CPU. Interface
/// in training_table.hpp. They are regions of their own, on top of those of kernels.hpp, which inference compiles
/// alone.

#include "tessera/kernel/kernels.hpp"
#include "tessera/kernel/training_table.hpp"

#if defined(TESSERA_COMPILED_KERNELS)

namespace tessera {
inline namespace compiled {

const TrainingKernelTable& training_kernels(Isa isa);
inline const TrainingKernelTable& training_kernels() { return training_kernels(active_isa()); }

}  // namespace compiled
}  // namespace tessera

#else

#include <utility>

#define TESSERA_TARGET_BODIES "tessera/kernel/inl/training_target.inl.hpp"
#include "tessera/kernel/inl/for_each_target.inl.hpp"

namespace tessera {
inline namespace TESSERA_COMMAND_LINE_ISA {

/// The training kernels of one level. Throws Error if this CPU lacks it.
inline const TrainingKernelTable& training_kernels(Isa isa) {
  switch (kernels(isa).isa) {
#if defined(__x86_64__)
    case Isa::avx512:
      return kernel::avx512::training_table;
    case Isa::avx2:
      return kernel::avx2::training_table;
#endif
    default:
      return kernel::scalar::training_table;
  }
}

/// The training kernels of active_isa().
inline const TrainingKernelTable& training_kernels() { return training_kernels(active_isa()); }

}  // namespace TESSERA_COMMAND_LINE_ISA
}  // namespace tessera

#undef TESSERA_COMMAND_LINE_ISA

#endif

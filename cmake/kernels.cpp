// The file of tessera::kernels: what kernels.hpp and training_kernels.hpp declare with TESSERA_COMPILED_KERNELS.

#include "tessera/kernel/training_kernels.hpp"

namespace tessera::compiled {

const KernelTable& kernels(Isa isa) { return tessera::kernels(isa); }
const TrainingKernelTable& training_kernels(Isa isa) { return tessera::training_kernels(isa); }

}  // namespace tessera::compiled

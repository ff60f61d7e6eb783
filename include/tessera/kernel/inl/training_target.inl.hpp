// All training kernels of one target: see training_kernels.hpp. No include guard, as this is compiled once for each
// target.
#include "tessera/kernel/inl/vec_training.inl.hpp"
//
#include "tessera/kernel/inl/reorder.inl.hpp"
//
#include "tessera/kernel/inl/attention_backward.inl.hpp"
//
#include "tessera/kernel/inl/backward.inl.hpp"
//
#include "tessera/kernel/inl/optimizer.inl.hpp"

namespace tessera {
inline namespace TESSERA_COMMAND_LINE_ISA {
namespace kernel::TESSERA_TARGET {

inline constexpr TrainingKernelTable training_table = {
    .isa = Isa::TESSERA_TARGET,
    .pack_columns = pack_columns,
    .transpose = transpose,
    .attend_backward = attend_backward,
    .layer_norm_backward = layer_norm_backward,
    .rms_norm_backward = rms_norm_backward,
    .activate_backward = activate_backward,
    .gate = gate,
    .gate_backward = gate_backward,
    .cross_entropy = cross_entropy,
    .adamw = adamw,
    .sum_of_squares = sum_of_squares,
    .scale_add = scale_add,
};

}  // namespace kernel::TESSERA_TARGET
}  // namespace TESSERA_COMMAND_LINE_ISA
}  // namespace tessera

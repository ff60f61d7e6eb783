// All kernels of one target: see kernels.hpp. No include guard, as this is compiled once for each target.
#include "tessera/kernel/inl/vec.inl.hpp"
//
#include "tessera/kernel/inl/math.inl.hpp"
//
#include "tessera/kernel/inl/gemm.inl.hpp"
//
#include "tessera/kernel/inl/attention.inl.hpp"
//
#include "tessera/kernel/inl/decode_attention.inl.hpp"
//
#include "tessera/kernel/inl/rows.inl.hpp"

namespace tessera {
inline namespace TESSERA_COMMAND_LINE_ISA {
namespace kernel::TESSERA_TARGET {

inline constexpr KernelTable table = {
    .isa = Isa::TESSERA_TARGET,
    .gemm = gemm,
    .pack_keys = pack_keys,
    .pack_values = pack_values,
    .attend = attend,
    .attend_decode = attend_decode,
    .layer_norm = layer_norm,
    .rms_norm = rms_norm,
    .activate = activate_row,
    .rope = rope,
};

}  // namespace kernel::TESSERA_TARGET
}  // namespace TESSERA_COMMAND_LINE_ISA
}  // namespace tessera

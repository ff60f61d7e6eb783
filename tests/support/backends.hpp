#pragma once
// The compute backends of this build.

#include "tessera/ops/native.hpp"
#include "tessera/ops/reference.hpp"

#include "support/isas.hpp"
#if defined(TESSERA_WITH_ONEDNN)
#include "tessera/ops/onednn.hpp"
#endif
#if defined(TESSERA_WITH_EIGEN)
#include "tessera/ops/eigen.hpp"
#endif

namespace tessera::test {

/// Calls `check(ops)` with a fresh object of every backend, the native one for each instruction set.
template <class Check>
void for_every_backend(Check&& check) {
  check(ops::Reference<float>{});
  for (const Isa isa : available_isas()) check(ops::Native(isa));
#if defined(TESSERA_WITH_ONEDNN)
  check(ops::OneDnn{});
#endif
#if defined(TESSERA_WITH_EIGEN)
  check(ops::EigenOps{});
#endif
}

}  // namespace tessera::test

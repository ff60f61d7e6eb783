#pragma once
// The instruction sets of this CPU, and how their results are compared.

#include <cstring>
#include <vector>

#include "tessera/kernel/isa.hpp"

namespace tessera::test {

inline std::vector<Isa> available_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512}) {
    if (isa <= detected_isa()) isas.push_back(isa);
  }
  return isas;
}

/// Unlike ==, tells NaNs and signed zeros apart.
inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace tessera::test

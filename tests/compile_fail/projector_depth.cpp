// expect: MLPProjector<0
// expect: Depth is the number of linear layers, at least 1
#include "tessera/connect/projector.hpp"

using namespace tessera;

constexpr std::size_t size = sizeof(MLPProjector < WRONG ? 0 : 2, Gelu, 1024, 4096 >);

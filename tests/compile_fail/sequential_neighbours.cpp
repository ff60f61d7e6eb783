// expect: layer_to_layer<16, 32>
// expect: a layer's output width is not the next layer's input width
#include "tessera/layer/activation.hpp"
#include "tessera/layer/linear.hpp"
#include "tessera/layer/sequential.hpp"

using namespace tessera;

using Layers = Sequential<Linear<8, 16>, Activate<Gelu>, Linear<16, 16>, Linear<WRONG ? 32 : 16, 8>>;
constexpr std::size_t size = sizeof(Layers);

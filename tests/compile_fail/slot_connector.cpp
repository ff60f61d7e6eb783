// expect: Vlm: slot 2 must be a tessera::Connector
#include "tessera/language/presets.hpp"
#include "tessera/model/llava.hpp"
#include "tessera/vision/presets.hpp"

using namespace tessera;

using Projector =
    std::conditional_t<WRONG, Linear<1024, 4096>, LinearProjector<1024, 4096>>;  // a Linear has no tokens()
using Model = Vlm<ViT<presets::ClipL14>, Projector, Llama<presets::Vicuna7B>, splice::AtImageToken>;
constexpr std::size_t size = sizeof(Model);

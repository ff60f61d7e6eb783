// expect: vision_to_connector<768, 1024>
// expect: the vision encoder's width is not the connector's input width
#include "tessera/language/presets.hpp"
#include "tessera/model/llava.hpp"
#include "tessera/vision/presets.hpp"

using namespace tessera;

constexpr dim connector_in = WRONG ? 1024 : 768;
using Model =
    Vlm<ViT<presets::ClipB16>, LinearProjector<connector_in, 4096>, Llama<presets::Vicuna7B>, splice::AtImageToken>;
constexpr std::size_t size = sizeof(Model);

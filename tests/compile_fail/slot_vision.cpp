// expect: Vlm: slot 1 must be a tessera::VisionEncoder
#include "tessera/language/presets.hpp"
#include "tessera/model/llava.hpp"
#include "tessera/vision/presets.hpp"

using namespace tessera;

using Vision = std::conditional_t<WRONG, Linear<588, 1024>, ViT<presets::ClipL14>>;
using Model = Vlm<Vision, LinearProjector<1024, 4096>, Llama<presets::Vicuna7B>, splice::AtImageToken>;
constexpr std::size_t size = sizeof(Model);

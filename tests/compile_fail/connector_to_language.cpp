// expect: connector_to_language<4096, 5120>
// expect: the connector's output width is not the language model's width
#include "tessera/language/presets.hpp"
#include "tessera/model/llava.hpp"
#include "tessera/vision/presets.hpp"

using namespace tessera;

using Text = std::conditional_t<WRONG, presets::Vicuna13B, presets::Vicuna7B>;
using Model = Vlm<ViT<presets::ClipL14>, MLPProjector<2, Gelu, 1024, 4096>, Llama<Text>, splice::AtImageToken>;
constexpr std::size_t size = sizeof(Model);

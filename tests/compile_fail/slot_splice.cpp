// expect: Vlm: the last argument must be a tessera::Splice
#include "tessera/language/presets.hpp"
#include "tessera/model/llava.hpp"
#include "tessera/vision/presets.hpp"

using namespace tessera;

using Splicing = std::conditional_t<WRONG, Linear<4096, 4096>, splice::AtImageToken>;
using Model = Vlm<ViT<presets::ClipL14>, LinearProjector<1024, 4096>, Llama<presets::Vicuna7B>, Splicing>;
constexpr std::size_t size = sizeof(Model);

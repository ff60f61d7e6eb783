// expect: Vlm: slot 3 must be a tessera::LanguageModel
#include "tessera/language/presets.hpp"
#include "tessera/model/llava.hpp"
#include "tessera/vision/presets.hpp"

using namespace tessera;

using Language = std::conditional_t<WRONG, ViT<presets::ClipL14>, Llama<presets::Vicuna7B>>;
using Model = Vlm<ViT<presets::ClipL14>, LinearProjector<1024, 4096>, Language, splice::AtImageToken>;
constexpr std::size_t size = sizeof(Model);

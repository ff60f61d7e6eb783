// expect: Vlm: slot 1 must be a tessera::VisionEncoder
#include "tessera/language/presets.hpp"
#include "tessera/model/llava.hpp"
#include "tessera/vision/presets.hpp"

using namespace tessera;

using Vision = ViT<presets::ClipL14>;
using Language = Llama<presets::Vicuna7B>;
template <class First, class Third>
using Model = Vlm<First, LinearProjector<1024, 4096>, Third, splice::AtImageToken>;
constexpr std::size_t size = sizeof(std::conditional_t<WRONG, Model<Language, Vision>, Model<Vision, Language>>);

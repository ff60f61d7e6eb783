// The published sizes and the seams.

#include "tessera/model/llava.hpp"

#include <type_traits>

#include "tessera/language/presets.hpp"
#include "tessera/vision/presets.hpp"

#include "catch.hpp"

using namespace tessera;

namespace {

std::size_t params_of_tower(auto config) { return count_params(ViT<decltype(config)>(config, {{-1}, false})); }

}  // namespace

TEST_CASE("the presets have the published numbers of parameters") {
  CHECK(count_params(Llama<presets::Vicuna7B>(presets::Vicuna7B{})) == 6'738'415'616);
  CHECK(count_params(Llama<presets::Vicuna13B>(presets::Vicuna13B{})) == 13'015'864'320);
  CHECK(count_params(LinearProjector<1024, 4096>(1024, 4096)) == 4'198'400);
  CHECK(count_params(MLPProjector<2, Gelu, 1024, 4096>(1024, 4096)) == 20'979'712);
  CHECK(count_params(MLPProjector<2, Gelu, 1024, 5120>(1024, 5120)) == 31'467'520);
  // All blocks, without the final norm (2 · 1024) that LLaVA has no use for.
  CHECK(params_of_tower(presets::ClipL14_336{}) == 303'507'456 - 2048);
  CHECK(params_of_tower(presets::ClipL14{}) == 303'179'776 - 2048);
}

TEST_CASE("a tower runs only the blocks that its selected hidden state needs") {
  const presets::ClipL14_336 config;
  const ViT<presets::ClipL14_336> tower(config);
  CHECK(tower.encoder.layers.size() == 23);
  CHECK(tower.tokens() == 576);
  CHECK(ViT<presets::ClipL14_336>(config, {{-2}, true}).tokens() == 577);
  const ViT<> two(ClipVisionConfig{}, {{-1, -2}, false});
  CHECK(two.out() == 1536);
  CHECK(two.encoder.layers.size() == 12);
  CHECK_THROWS_AS(ViT<>(ClipVisionConfig{}, {{13}, false}), Error);
  CHECK_THROWS_AS(ViT<>(ClipVisionConfig{.heads = 7}), Error);
}

TEST_CASE("the two papers differ in one slot, and fixed configs fix the seams") {
  STATIC_REQUIRE(std::is_same_v<decltype(Llava<>::vision), decltype(Llava15<>::vision)>);
  STATIC_REQUIRE(!std::is_same_v<decltype(Llava<>::connector), decltype(Llava15<>::connector)>);
  using Fixed = Llava15<presets::ClipL14_336, presets::Vicuna7B, bf16>;
  STATIC_REQUIRE(decltype(Fixed::connector)::in_width == 1024);
  STATIC_REQUIRE(decltype(Fixed::connector)::out_width == 4096);
  STATIC_REQUIRE(decltype(Llava15<>::connector)::in_width == dyn);
}

TEST_CASE("widths that only the config knows are checked when a model is put together") {
  const auto build = [](int in, int out) {
    const LlamaConfig text{.vocab = 10, .width = 32, .inner = 8, .depth = 1, .heads = 2};
    const ClipVisionConfig vision{.image_size = 14, .patch_size = 7, .width = 24, .heads = 2, .depth = 2, .inner = 8};
    return Llava15<>(ViT<>(vision), MLPProjector<2>(in, out), Llama<>(text), {});
  };
  CHECK(build(24, 32).image_tokens() == 4);
  CHECK_THROWS_WITH(build(25, 32), "the vision encoder makes rows of 24 numbers, the connector reads rows of 25");
  CHECK_THROWS_WITH(build(24, 31), "the connector makes rows of 31 numbers, the language model reads rows of 32");
}

TEST_CASE("an MLP projector of a fixed depth refuses another") {
  CHECK(MLPProjector<dyn>(4, 8, true, DType::f32, 3).further.size() == 2);
  CHECK_THROWS_AS((MLPProjector<2>(4, 8, true, DType::f32, 3)), Error);
}

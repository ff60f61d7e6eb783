// What a tower hands on: which hidden states, which rows, of how many images. Its numbers are compared in tests/hub.

#include "tessera/vision/vit.hpp"

#include <vector>

#include "tessera/model/initialize.hpp"
#include "tessera/ops/reference.hpp"

#include "catch.hpp"
#include "support/errors.hpp"

using namespace tessera;

namespace {

const ClipVisionConfig config{.image_size = 6, .patch_size = 2, .width = 8, .heads = 2, .depth = 3, .inner = 12};
constexpr int patches = 9, width = 8;

std::vector<float> images(int count) {
  std::vector<float> pixels(static_cast<std::size_t>(count) * 3 * 6 * 6);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = 0.1f * static_cast<float>(i % 23) - 1;
  return pixels;
}

/// The rows of a tower with the weights of seed 1, of `count` images from number `first` on.
std::vector<double> rows(const FeatureSelection& selection, int count = 1, int first = 0) {
  ops::Reference<double> ops;
  WeightStore store;
  ViT<> tower(config, selection);
  initialize(tower, ops, store, 1, [](int) { return 0.3f; });
  const std::vector<float> pixels = images(first + count);
  std::vector<double> y(static_cast<std::size_t>(count) * tower.tokens() * tower.out());
  const auto encode = [&](Context<ops::Reference<double>>& c) {
    infer(tower, c, pixels.data() + first * tower.pixels(), count,
          dense(y.data(), count * tower.tokens(), tower.out()));
  };
  Arena arena = plan_workspace(ops, 1, encode);
  Context<ops::Reference<double>> c(ops, arena, 1);
  encode(c);
  return y;
}

}  // namespace

TEST_CASE("hidden states are selected from either end and put side by side") {
  const std::vector<double> second = rows({{-2}}), last = rows({{3}}), both = rows({{-2, -1}});
  CHECK(rows({{2}}) == second);
  REQUIRE(both.size() == 2 * second.size());
  for (std::size_t row = 0; row < patches; ++row) {
    for (std::size_t k = 0; k < width; ++k) {
      CHECK(both[row * 2 * width + k] == second[row * width + k]);
      CHECK(both[row * 2 * width + width + k] == last[row * width + k]);
    }
  }
  CHECK(second != last);
}

TEST_CASE("the class token comes first where it is kept") {
  const std::vector<double> without = rows({{-2}}), with = rows({{-2}, true});
  REQUIRE(with.size() == without.size() + width);
  CHECK(std::vector<double>(with.begin() + width, with.end()) == without);
}

TEST_CASE("each of several images is seen alone") {
  const std::vector<double> both = rows({}, 2), first = rows({}, 1), second = rows({}, 1, 1);
  REQUIRE(both.size() == 2 * first.size());
  CHECK(std::vector<double>(both.begin(), both.begin() + patches * width) == first);
  CHECK(std::vector<double>(both.begin() + patches * width, both.end()) == second);
}

TEST_CASE("a tower has no blocks after the last state that is handed on") {
  CHECK(ViT<>(config, {{-2}}).encoder.layers.size() == 2);
  CHECK(ViT<>(config, {{0, 1}}).encoder.layers.size() == 1);
}

TEST_CASE("a tower that cannot be is refused") {
  CHECK_THROWS_WITH(ViT<>(config, {{4}}), test::contains("layer 4 does not exist: the tower has hidden states 0 to 3"));
  CHECK_THROWS_WITH(ViT<>(config, {{-5}}), test::contains("layer -5 does not exist"));
  CHECK_THROWS_WITH(ViT<>(config, {{}}), test::contains("number of selected hidden states is 0, expected 1 to 256"));
  ClipVisionConfig odd = config;
  odd.heads = 3;
  CHECK_THROWS_WITH(ViT<>(odd), test::contains("hidden_size 8 is not a multiple of num_attention_heads 3"));
}

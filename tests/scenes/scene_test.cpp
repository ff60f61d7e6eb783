#include "scenes/scene.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "catch.hpp"
#include "support/errors.hpp"

namespace tessera::scenes {
namespace {

template <class Check>
void for_scenes(const SceneOptions& options, Check check) {
  for (std::uint64_t index = 0; index < 500; ++index) {
    CAPTURE(index);
    check(make_scene(options, index));
  }
}

bool has_held_out_kind(const Scene& scene) {
  return std::any_of(scene.objects.begin(), scene.objects.end(),
                     [](const Object& object) { return is_held_out(object.shape, object.color); });
}

}  // namespace

TEST_CASE("SplitMix64 gives its published first numbers") {
  // Seed 1234567 of the reference implementation; its state is the seed, ours a mix of the key.
  std::uint64_t state = 1234567;
  CHECK(mix(state += 0x9e3779b97f4a7c15u) == 6457827717110365317u);
  CHECK(mix(state += 0x9e3779b97f4a7c15u) == 3203168211198807973u);
}

TEST_CASE("random integers are uniform within their bounds") {
  Random random(42);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70000; ++i) ++counts.at(static_cast<std::size_t>(random.between(-3, 3) + 3));
  for (const int count : counts) CHECK(std::abs(count - 10000) < 500);
}

TEST_CASE("objects lie inside the canvas, in places of their own, without overlap") {
  const auto [width, height] = GENERATE(table<int, int>({{84, 84}, {112, 112}, {84, 168}, {300, 28}}));
  const SceneOptions options{.seed = 5, .width = width, .height = height, .max_objects = 5};
  for_scenes(options, [&](const Scene& scene) {
    std::set<std::pair<int, int>> places;
    std::set<std::pair<Shape, Color>> kinds;
    for (const Object& object : scene.objects) {
      REQUIRE(object.x >= object.radius);
      REQUIRE(object.y >= object.radius);
      REQUIRE(object.x <= scene.width * units_per_pixel - object.radius);
      REQUIRE(object.y <= scene.height * units_per_pixel - object.radius);
      REQUIRE(object.column == object.x * places_per_side / (scene.width * units_per_pixel));
      REQUIRE(object.row == object.y * places_per_side / (scene.height * units_per_pixel));
      places.insert({object.row, object.column});
      kinds.insert({object.shape, object.color});
      for (const Object& other : scene.objects) {
        if (&other == &object) continue;
        const double distance = std::hypot(object.x - other.x, object.y - other.y);
        REQUIRE(distance >= object.radius + other.radius - 1);
      }
    }
    REQUIRE(places.size() == scene.objects.size());
    REQUIRE(kinds.size() == scene.objects.size());
    REQUIRE(std::is_sorted(scene.objects.begin(), scene.objects.end(), [](const Object& a, const Object& b) {
      return std::pair(a.row, a.column) < std::pair(b.row, b.column);
    }));
  });
}

TEST_CASE("held-out kinds are in every scene of the holdout and in no other") {
  for_scenes({.split = Split::train}, [](const Scene& scene) { REQUIRE_FALSE(has_held_out_kind(scene)); });
  for_scenes({.split = Split::test}, [](const Scene& scene) { REQUIRE_FALSE(has_held_out_kind(scene)); });
  for_scenes({.split = Split::holdout}, [](const Scene& scene) { REQUIRE(has_held_out_kind(scene)); });
}

TEST_CASE("the number of objects is spread over its whole range, and every kind and size occurs") {
  std::map<std::size_t, int> counts;
  std::set<std::pair<Shape, Color>> kinds;
  int small = 0;
  int objects = 0;
  for (std::uint64_t index = 0; index < 3000; ++index) {
    const Scene scene = make_scene({.min_objects = 1, .max_objects = 3}, index);
    ++counts[scene.objects.size()];
    for (const Object& object : scene.objects) {
      kinds.insert({object.shape, object.color});
      small += object.size == Size::small;
      ++objects;
    }
  }
  CHECK(counts.size() == 3);
  for (const auto& [count, scenes] : counts) CHECK(std::abs(scenes - 1000) < 120);
  CHECK(kinds.size() == 6 * 8 - 6);
  CHECK(small > objects * 45 / 100);
  CHECK(small < objects * 55 / 100);
}

TEST_CASE("splits, seeds and numbers give different scenes; the same give the same") {
  const auto key = [](const SceneOptions& options, std::uint64_t index) {
    return make_scene(options, index).noise_key;
  };
  std::set<std::uint64_t> keys;
  for (const Split split : {Split::train, Split::test, Split::holdout}) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      for (std::uint64_t index = 0; index < 100; ++index) keys.insert(key({.seed = seed, .split = split}, index));
    }
  }
  CHECK(keys.size() == 3 * 20 * 100);
  CHECK(key({.seed = 3}, 4) == key({.seed = 3}, 4));
}

TEST_CASE("options that allow no scene are refused") {
  const auto message_for = [](const SceneOptions& options) { return test::error_message([&] { validate(options); }); };
  CHECK(message_for({.width = 27}) == "scenes: the size is 27x84, expected sides from 28 to 4096");
  CHECK(message_for({.height = 5000}) == "scenes: the size is 84x5000, expected sides from 28 to 4096");
  CHECK(message_for({.min_objects = 0}) == "scenes: the number of objects is 0-3, expected a range within 1-5");
  CHECK(message_for({.max_objects = 6}) == "scenes: the number of objects is 1-6, expected a range within 1-5");
  CHECK(message_for({.min_objects = 3, .max_objects = 2}) ==
        "scenes: the number of objects is 3-2, expected a range within 1-5");
  CHECK(message_for({}).empty());
}

}  // namespace tessera::scenes

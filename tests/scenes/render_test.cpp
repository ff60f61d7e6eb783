#include "scenes/render.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "catch.hpp"
#include "scenes/outline.hpp"
#include "scenes/scene.hpp"

namespace tessera::scenes {
namespace {

/// CRC-32 as in PNG and zip.
std::uint32_t crc32(std::span<const std::uint8_t> bytes, std::uint32_t crc = 0) {
  crc = ~crc;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

std::uint32_t crc_of_scenes(const SceneOptions& options) {
  std::uint32_t crc = 0;
  for (std::uint64_t index = 0; index < 50; ++index) crc = crc32(render(make_scene(options, index)).rgb, crc);
  return crc;
}

Object object_at_center(Shape shape) {
  Object object;
  object.shape = shape;
  object.x = object.y = 42 * units_per_pixel;
  object.radius = 16 * units_per_pixel;
  return object;
}

}  // namespace

// Demo checkpoints and their accuracy tables depend on these very bytes.
TEST_CASE("images are the same bytes on every machine and compiler") {
  CHECK(crc_of_scenes({}) == 0x4bdd9c98u);
  CHECK(crc_of_scenes({.seed = 7, .split = Split::holdout, .width = 168, .height = 84, .max_objects = 5}) ==
        0x24642c44u);
  CHECK(crc_of_scenes({.seed = 1, .split = Split::test, .width = 112, .height = 112, .min_objects = 3}) == 0xcd7b3b9du);
}

TEST_CASE("the sine table is the rounded sine") {
  for (int step = 0; step < rotation_steps; ++step) {
    const double angle = 2 * 3.14159265358979323846 * step / rotation_steps;
    CHECK(detail::sine(step) == std::lround(16384 * std::sin(angle)));
    CHECK(detail::cosine(step) == std::lround(16384 * std::cos(angle)));
  }
}

TEST_CASE("an outline covers the shape's area, however it is turned") {
  const auto share_of_circumcircle = [](Object object, int rotation) {
    object.rotation = rotation;
    const Outline outline(object);
    int covered = 0;
    for (int y = 0; y < 84; ++y) {
      for (int x = 0; x < 84; ++x) covered += detail::coverage(outline, x, y);
    }
    return covered / (16 * 3.14159265358979323846 * 16 * 16);
  };
  const auto [shape, share] =
      GENERATE(table<Shape, double>({{Shape::circle, 1.0},
                                     {Shape::square, 0.6366},    // 2 / π
                                     {Shape::triangle, 0.4135},  // 3 √3 / 4 π
                                     {Shape::star, 0.3929},      // 5 sin 36° · 0.42 / π
                                     {Shape::ring, 0.6836},      // 1 - (9/16)²
                                     {Shape::cross, 0.6040}}));  // 2 · 600 · 1958 - 600² in 1/1024², / π
  for (const int rotation : {0, 5, 16, 37}) {
    CAPTURE(name_of(shape), rotation);
    CHECK(share_of_circumcircle(object_at_center(shape), rotation) == Approx(share).epsilon(0.015));
  }
}

TEST_CASE("a box is the smallest around the painted pixels") {
  for (std::uint64_t index = 0; index < 20; ++index) {
    const Scene scene = make_scene({.max_objects = 1}, index);
    const Outline outline(scene.objects.front());
    const Box box = outline.box();
    Box painted{scene.width, scene.height, 0, 0};
    for (int y = 0; y < scene.height; ++y) {
      for (int x = 0; x < scene.width; ++x) {
        if (detail::coverage(outline, x, y) == 0) continue;
        painted = {std::min(painted.left, x), std::min(painted.top, y), std::max(painted.right, x + 1),
                   std::max(painted.bottom, y + 1)};
      }
    }
    // A corner may touch a pixel without covering one of its samples.
    CHECK(painted.left - box.left <= 1);
    CHECK(painted.left >= box.left);
    CHECK(painted.top - box.top <= 1);
    CHECK(painted.top >= box.top);
    CHECK(box.right - painted.right <= 1);
    CHECK(box.right >= painted.right);
    CHECK(box.bottom - painted.bottom <= 1);
    CHECK(box.bottom >= painted.bottom);
  }
}

TEST_CASE("pixels show the object's colour at its centre and the background elsewhere") {
  Scene scene = make_scene({.max_objects = 1}, 3);
  scene.objects = {object_at_center(Shape::square)};
  scene.objects.front().rgb = {{220, 40, 40}};
  const io::Image image = render(scene);
  const std::uint8_t* center = image.row(42) + 42 * 3;
  CHECK(std::abs(center[0] - 220) <= 7);
  CHECK(std::abs(center[1] - 40) <= 7);
  scene.background.from_right = scene.background.from_bottom = false;
  const io::Image from_top_left = render(scene);
  for (std::size_t channel = 0; channel < 3; ++channel) {
    CHECK(std::abs(from_top_left.row(0)[channel] - scene.background.from[channel]) <= 7);
    CHECK(std::abs(from_top_left.row(83)[83 * 3 + channel] - scene.background.to[channel]) <= 7);
  }
}

}  // namespace tessera::scenes

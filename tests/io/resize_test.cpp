#include "tessera/io/resize.hpp"

#include "catch.hpp"
#include "image_cases.hpp"

using namespace tessera::io;

TEST_CASE("resize equals Pillow for every filter") {
  for (const json& test : image_cases::read("resize.json")) {
    for (const std::string kind : {"noise", "extremes"}) {
      const Image image = image_cases::synthetic(test["from"][0], test["from"][1], kind);
      for (int filter = 0; filter < 6; ++filter) {
        CAPTURE(test["from"].dump(), test["to"].dump(), kind, filter);
        const Image resized = resize(image, test["to"][0], test["to"][1], static_cast<Resample>(filter));
        CHECK(resized.width == test["to"][0]);
        CHECK(resized.height == test["to"][1]);
        CHECK(image_cases::crc32(resized) == test[kind][filter]);
      }
    }
  }
}

TEST_CASE("resize keeps an even colour and an unchanged size") {
  const Image even = filled_image(31, 17, {3, 200, 255});
  for (int filter = 0; filter < 6; ++filter) {
    CHECK(resize(even, 50, 9, static_cast<Resample>(filter)).rgb == filled_image(50, 9, {3, 200, 255}).rgb);
  }
  const Image noise = image_cases::synthetic(12, 13, "noise");
  CHECK(resize(noise, 12, 13, Resample::lanczos).rgb == noise.rgb);
}

TEST_CASE("resize refuses impossible sizes") {
  const Image image = filled_image(2, 2);
  CHECK_THROWS_AS(resize(image, 0, 2, Resample::box), tessera::Error);
  CHECK_THROWS_AS(resize(image, 2, -1, Resample::box), tessera::Error);
  CHECK_THROWS_AS(resize(image, 1 << 20, 1 << 20, Resample::box), tessera::Error);
  CHECK_THROWS_AS(resize(Image{}, 2, 2, Resample::box), tessera::Error);
  CHECK_THROWS_AS(resize(Image{2, 2, {1, 2, 3}}, 3, 3, Resample::box), tessera::Error);
}

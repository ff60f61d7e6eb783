#include "tessera/io/image_processor.hpp"

#include <fstream>

#include "catch.hpp"
#include "image_cases.hpp"

using namespace tessera::io;

namespace {

ImageProcessor parse(const char* text) { return parse_image_processor(parse_json(text, "test"), "test"); }

}  // namespace

TEST_CASE("pixel values equal transformers' PIL processors bit for bit") {
  for (const json& test : image_cases::read("processors.json")) {
    const ImageProcessor processor = parse_image_processor(test["config"], "test");
    for (const json& image : test["images"]) {
      CAPTURE(test["config"].dump(), image["width"].get<int>(), image["height"].get<int>());
      const Pixels pixels = processor.preprocess(image_cases::synthetic(image["width"], image["height"], "noise"));
      CHECK(json{pixels.channels, pixels.height, pixels.width} == image["shape"]);
      CHECK(crc32(std::as_bytes(std::span(pixels.values))) == image["values"]);
    }
  }
}

TEST_CASE("expand_to_square centres the image and rounds its offset down") {
  Image wide = filled_image(4, 1, {9, 9, 9});
  const Image square = expand_to_square(wide, {122, 116, 104});
  REQUIRE(square.width == 4);
  REQUIRE(square.height == 4);
  for (int y = 0; y < 4; ++y) {
    CHECK(Rgb{square.row(y)[0], square.row(y)[1], square.row(y)[2]} == (y == 1 ? Rgb{9, 9, 9} : Rgb{122, 116, 104}));
  }
  const Image tall = expand_to_square(filled_image(2, 5, {9, 9, 9}), {1, 2, 3});
  CHECK(tall.row(0)[0] == 1);
  CHECK(tall.row(0)[3] == 9);
  CHECK(tall.row(0)[6] == 9);
  CHECK(tall.row(0)[9] == 1);
  CHECK(ImageProcessor{}.mean_colour() == Rgb{122, 116, 104});
  CHECK(expand_to_square(filled_image(3, 3, {7, 7, 7}), {1, 2, 3}).rgb == filled_image(3, 3, {7, 7, 7}).rgb);
}

TEST_CASE("a centre crop beyond the image is black before normalising") {
  ImageProcessor processor;
  processor.do_resize = processor.do_normalize = processor.do_rescale = false;
  processor.crop_size = {1, 4};
  const Pixels pixels = processor.preprocess(filled_image(1, 2, {5, 6, 7}));
  CHECK(pixels.values == std::vector<float>{0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7, 0});
}

TEST_CASE("configs that cannot be followed are refused") {
  CHECK_THROWS_WITH(
      parse(R"({"image_processor_type": "Qwen2VLImageProcessor"})"),
      Catch::Matchers::Contains("Qwen2VLImageProcessor") && Catch::Matchers::Contains("expected CLIPImageProcessor"));
  for (const char* text : {R"([])",
                           R"({"size": 0})",
                           R"({"size": -3})",
                           R"({"size": 100000})",
                           R"({"size": "224"})",
                           R"({"size": 22.5})",
                           R"({"size": {"height": 3}})",
                           R"({"size": {"shortest_edge": 3, "longest_edge": 5}})",
                           R"({"size": {}})",
                           R"({"crop_size": 0})",
                           R"({"crop_size": {"height": 5, "width": -5}})",
                           R"({"crop_size": {"shortest_edge": 5}})",
                           R"({"resample": 6})",
                           R"({"resample": -1})",
                           R"({"resample": "bicubic"})",
                           R"({"do_resize": 1})",
                           R"({"image_std": [1, 0, 1]})",
                           R"({"image_std": [1, 1e-60, 1]})",
                           R"({"image_mean": [0.5, 0.5]})",
                           R"({"image_mean": 0.5})",
                           R"({"image_mean": [0, 0, null]})",
                           R"({"rescale_factor": "1/255"})"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse(text), tessera::Error);
  }
  CHECK_THROWS_AS(ImageProcessor{}.preprocess(Image{}), tessera::Error);
  CHECK_THROWS_AS(ImageProcessor{}.preprocess(Image{2, 2, {1, 2, 3}}), tessera::Error);
  CHECK_THROWS_AS(ImageProcessor{}.preprocess(filled_image(1, 60'000)), tessera::Error);
  ImageProcessor processor;
  processor.crop_size = {0, 5};
  CHECK_THROWS_AS(processor.preprocess(filled_image(2, 2)), tessera::Error);
}

TEST_CASE("a processor nested in processor_config.json comes first") {
  const auto folder = std::filesystem::temp_directory_path() / "tessera_image_processor_test";
  std::filesystem::create_directories(folder);
  const auto write = [&](const char* name, const char* text) { std::ofstream(folder / name) << text; };
  write("preprocessor_config.json", R"({"crop_size": 7})");
  CHECK(load_image_processor(folder).crop_size.height == 7);
  write("processor_config.json", R"({"processor_class": "LlavaProcessor"})");
  CHECK(load_image_processor(folder).crop_size.height == 7);
  write("processor_config.json", R"({"image_processor": {"crop_size": 8}})");
  CHECK(load_image_processor(folder).crop_size.height == 8);
  std::filesystem::remove_all(folder);
  CHECK_THROWS_WITH(load_image_processor(folder), Catch::Matchers::Contains("preprocessor_config.json"));
}

#include "tessera/io/image_processor.hpp"

#include <fstream>
#include <utility>

#include "catch.hpp"
#include "image_cases.hpp"
#include "support/temporary_folder.hpp"

using namespace tessera::io;
using tessera::test::contains;

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

TEST_CASE("a long, thin image is not padded to gigabytes") {
  const Image thin = filled_image(65'535, 1);
  CHECK_THROWS_WITH(expand_to_square(thin, {}),
                    contains("the image is 65535 x 65535 pixels") && contains("at most 178956970"));
  ImageProcessor processor;
  processor.pad_to_square = true;
  CHECK_THROWS_WITH(processor.preprocess(thin), contains("the image is 65535 x 65535 pixels"));
  CHECK(processor.preprocess(filled_image(4'000, 1)).width == 224);
}

TEST_CASE("the size of the result is known where no image changes it") {
  const auto size_of = [](const char* text) {
    const auto size = parse(text).output_size();
    return size ? std::pair(size->width, size->height) : std::pair(0, 0);
  };
  CHECK(size_of("{}") == std::pair(224, 224));
  CHECK(size_of(R"({"crop_size": {"width": 5, "height": 7}})") == std::pair(5, 7));
  CHECK(size_of(R"({"do_center_crop": false, "size": {"width": 5, "height": 7}})") == std::pair(5, 7));
  CHECK(size_of(R"({"do_center_crop": false})") == std::pair(0, 0));
  CHECK(size_of(R"({"do_center_crop": false, "do_resize": false, "size": {"width": 5, "height": 7}})") ==
        std::pair(0, 0));
  CHECK(size_of(
            R"({"do_center_crop": false, "do_pad": true, "size": 9, "image_processor_type": "LlavaImageProcessor"})") ==
        std::pair(9, 9));
}

TEST_CASE("a centre crop beyond the image is black before normalising") {
  ImageProcessor processor;
  processor.do_resize = processor.do_normalize = processor.do_rescale = false;
  processor.crop_size = {1, 4};
  const Pixels pixels = processor.preprocess(filled_image(1, 2, {5, 6, 7}));
  CHECK(pixels.values == std::vector<float>{0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7, 0});
}

TEST_CASE("configs that cannot be followed are refused") {
  CHECK_THROWS_WITH(parse(R"({"image_processor_type": "Qwen2VLImageProcessor"})"),
                    contains("Qwen2VLImageProcessor") && contains("expected CLIPImageProcessor"));
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
  const tessera::test::TemporaryFolder folder;
  const auto write = [&](const char* name, const char* text) { std::ofstream(folder.path / name) << text; };
  CHECK_THROWS_WITH(load_image_processor(folder.path), contains("preprocessor_config.json"));
  write("preprocessor_config.json", R"({"crop_size": 7})");
  CHECK(load_image_processor(folder.path).crop_size.height == 7);
  write("processor_config.json", R"({"processor_class": "LlavaProcessor"})");
  CHECK(load_image_processor(folder.path).crop_size.height == 7);
  write("processor_config.json", R"({"image_processor": {"crop_size": 8}})");
  CHECK(load_image_processor(folder.path).crop_size.height == 8);
}

#include "tessera/hub/llava_folder.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "catch.hpp"
#include "hub/llava_cases.hpp"
#include "support/temporary_folder.hpp"

using namespace tessera;
using test::contains;
namespace fs = std::filesystem;

namespace {

const fs::path models = fs::path(TESSERA_TEST_DATA) / "models";

}  // namespace

TEST_CASE("an image processor that makes other images than the tower reads is refused") {
  const test::TemporaryFolder folder;
  const fs::path processor = folder.path / "preprocessor_config.json", config = folder.path / "config.json";
  for (const char* name : {"config.json", "generation_config.json", "tokenizer.json"}) {
    if (fs::exists(models / "llava15_hub_f32/model" / name))
      fs::copy_file(models / "llava15_hub_f32/model" / name, folder.path / name);
  }
  const auto open_with = [&](const char* text) {
    std::ofstream(processor) << text;
    return hub::LlavaFolder::open(folder.path);
  };
  CHECK(open_with(R"({"size": 42, "crop_size": 42})").config.vision.image_size == 42);
  CHECK_THROWS_WITH(open_with(R"({"size": 28, "crop_size": 28})"),
                    processor.string() +
                        ": the images have 28 x 28 pixels, expected 42 x 42 pixels, the image_size of " +
                        config.string());
  CHECK_THROWS_WITH(open_with("{}"), contains("the images have 224 x 224 pixels, expected 42 x 42"));
  CHECK_THROWS_WITH(open_with(R"({"crop_size": {"height": 42, "width": 28}})"),
                    contains("the images have 28 x 42 pixels"));
  CHECK_THROWS_WITH(open_with(R"({"size": 42, "do_center_crop": false})"), contains("the images have no fixed size"));
  CHECK_NOTHROW(open_with(R"({"size": {"height": 42, "width": 42}, "do_center_crop": false})"));
}

TEST_CASE("an answer begins without the blank of its first word, streamed or not") {
  const auto folder = hub::LlavaFolder::open(models / "llava15_hub_f32/model");
  const auto& tokenizer = folder.tokenizer;
  for (const char* text : {"yes", " two  words", "   ", "", "\xE6\xB0\xB4"}) {
    CAPTURE(text);
    const std::vector<int> ids = tokenizer.encode(text);
    std::string expected = tokenizer.decode(ids);
    expected.erase(0, expected.find_first_not_of(' '));
    CHECK(folder.answer_text(ids) == expected);
    hub::AnswerStream stream(tokenizer);
    std::string streamed;
    for (const int id : ids) {
      const std::string part = stream.push(id);
      CHECK_FALSE((streamed.empty() && part.starts_with(' ')));
      streamed += part;
    }
    CHECK(streamed + stream.finish() == expected);
  }
}

#include "scenes/dataset.hpp"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tessera/io/decode_image.hpp"
#include "tessera/io/npy.hpp"

#include "catch.hpp"
#include "cli/scenes_command.hpp"
#include "scenes/best_guess.hpp"
#include "scenes/files.hpp"
#include "support/errors.hpp"
#include "support/temporary_folder.hpp"

namespace tessera::scenes {
namespace {

DatasetOptions one_task(Task task) {
  DatasetOptions options;
  options.tasks = {task};
  return options;
}

nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  return nlohmann::json::parse(file);
}

std::string message_for(cli::ScenesOptions options) {
  return test::error_message([&] { cli::run_scenes(options); });
}

}  // namespace

TEST_CASE("a sample depends on its number alone") {
  DatasetOptions options;
  options.tasks_per_scene = 3;
  const std::vector<Sample> samples = make_samples(options, 0, 10);
  REQUIRE(samples.size() == 10);
  const Sample again = make_sample(options, 7);
  CHECK(to_json(samples[7], Split::train) == to_json(again, Split::train));
  CHECK(make_samples(options, 5, 1).front().index == 5);
}

TEST_CASE("the choice of tasks leaves the scenes as they are") {
  const Sample caption = make_sample(one_task(Task::caption), 3);
  const Sample size = make_sample(one_task(Task::size), 3);
  CHECK(render(caption.scene).rgb == render(size.scene).rgb);
}

TEST_CASE("the best guess is the commonest answer of training to the question") {
  const std::size_t scenes = 500;
  DatasetOptions options;
  options.tasks_per_scene = static_cast<int>(options.tasks.size());
  const std::string question = "is there a red circle?";
  int yes = 0, no = 0;
  for (const Sample& sample : make_samples(options, 0, scenes)) {
    for (const Turn& turn : sample.turns) {
      if (turn.question == question) ++(turn.answer == "yes" ? yes : no);
    }
  }
  REQUIRE(yes != no);
  const BestGuess guess(scenes);
  CHECK(guess.answer(question) == (yes > no ? "yes" : "no"));
  CHECK(guess.answer("how many zebras?") == guess.answer("who is there?"));
}

TEST_CASE("scenes that no task suits are left out") {
  DatasetOptions options = one_task(Task::relation);
  for (const Sample& sample : make_samples(options, 0, 30)) {
    CHECK(sample.scene.objects.size() > 1);
    CHECK(sample.turns.size() == 1);
  }
  options.scene.max_objects = 1;
  CHECK_THROWS_AS(make_samples(options, 0, 1), Error);
}

TEST_CASE("records are LLaVA's conversations with true objects beside them") {
  const nlohmann::json record = to_json(make_sample(one_task(Task::dialogue), 12), Split::test);
  CHECK(record["id"] == "test-12");
  CHECK(record["image"] == "images/000012.png");
  const nlohmann::json& messages = record["conversations"];
  REQUIRE(messages.size() == 2 * record["tasks"].size());
  for (std::size_t i = 0; i < messages.size(); ++i) {
    CHECK(messages[i]["from"] == (i % 2 == 0 ? "human" : "gpt"));
    CHECK(messages[i]["value"].get<std::string>().starts_with("<image>\n") == (i == 0));
  }
  CHECK(record["objects"][0]["box"].size() == 4);
}

TEST_CASE("the command writes images and texts that belong together") {
  const test::TemporaryFolder folder;
  cli::ScenesOptions options;
  options.out = folder.path;
  options.count = 4;
  options.first = 2;
  options.seed = 9;
  options.size = "98x84";
  options.objects = "2-2";
  options.tasks = {"caption", "relation"};
  REQUIRE(cli::run_scenes(options) == 0);

  const nlohmann::json records = read_json(folder.path / "data.json");
  REQUIRE(records.size() == 4);
  const SceneOptions scene_options{.seed = 9, .width = 98, .min_objects = 2, .max_objects = 2};
  const io::Image image = io::decode_image(folder.path / records[1]["image"].get<std::string>());
  CHECK(image.width == 98);
  CHECK(image.rgb == render(make_scene(scene_options, 3)).rgb);

  options.image_files = "npy";
  REQUIRE(cli::run_scenes(options) == 0);
  CHECK(read_json(folder.path / "data.json") == records);
  const io::NpyFile file(folder.path / "images.npy");
  CHECK(file.array().shape == std::vector<std::int64_t>{4, 84, 98, 3});
}

TEST_CASE("the command refuses bad options before it touches a file") {
  cli::ScenesOptions options;
  CHECK(message_for(options) == "--out: expected a folder");
  options.out = "/nowhere/scenes";
  options.size = "84";
  CHECK(message_for(options) == "--size: found \"84\", expected two numbers with \"x\" between");
  options.size = "84x84x84";
  CHECK(message_for(options) == "--size: found \"84x84x84\", expected two numbers with \"x\" between");
  options.size = "84x84";
  options.objects = "1-9";
  CHECK(message_for(options) == "scenes: the number of objects is 1-9, expected a range within 1-5");
  options.objects = "1-3";
  options.split = "dev";
  CHECK(message_for(options) == "--split: found \"dev\", expected one of train, test, holdout");
  options.split = "test";
  options.tasks_per_scene = 0;
  CHECK(message_for(options) == "scenes: expected at least one task for each scene");
}

}  // namespace tessera::scenes

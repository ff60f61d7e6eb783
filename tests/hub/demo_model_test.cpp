// The demo checkpoint in examples/models, against the answers that transformers gave (tests/reference/demo_answers.py).

#include <filesystem>
#include <string>
#include <vector>

#include "tessera/model/generate.hpp"
#include "tessera/model/session.hpp"
#include "tessera/ops/native.hpp"

#include "catch.hpp"
#include "hub/llava_cases.hpp"
#include "scenes/dataset.hpp"

using namespace tessera;

namespace {

/// The scene that a sample asks about, made anew.
scenes::Sample scene_of(const io::json& sample) {
  scenes::DatasetOptions options;
  options.scene.seed = sample["seed"].get<std::uint64_t>();
  options.scene.split = sample["split"] == "holdout" ? scenes::Split::holdout : scenes::Split::test;
  options.scene.min_objects = options.scene.max_objects = sample["objects"].get<int>();
  options.tasks_per_scene = 8;
  return scenes::make_sample(options, sample["index"].get<std::uint64_t>());
}

}  // namespace

TEST_CASE("the demo model answers as in transformers") {
  const std::filesystem::path path = std::filesystem::path(TESSERA_EXAMPLES) / "models/llava15-scenes";
  const io::json samples = io::read_json_file(path / "expected_samples.json");
  REQUIRE(samples.size() == 20);
  const auto folder = hub::LlavaFolder::open(path);
  ops::Native ops;
  WeightStore store;
  const auto model = hub::load_llava<Llava15<>>(path, folder.config, folder.config.stored, ops, store);
  Session session(model, ops, {.images = 1, .tokens = 256});

  for (const io::json& sample : samples) {
    INFO(sample.dump());
    const scenes::Sample scene = scene_of(sample);
    REQUIRE(scene.turns.front().question == sample["question"].get<std::string>());
    CHECK(scene.turns.front().answer == sample["truth"].get<std::string>());

    const std::string question = folder.with_images(scene.turns.front().question, 1);
    const std::string prompt = folder.format(std::vector{io::Turn{"user", question}});
    CHECK(prompt == sample["prompt"].get<std::string>());
    const std::vector<int> ids = folder.prompt_ids(prompt, 1, model.image_tokens());

    session.reset();
    session.encode(folder.processor.preprocess(scenes::render(scene.scene)).values);
    const std::vector<int> reply =
        generate(session, session.prefill(ids), ids, {.max_new = 40, .end_ids = folder.generation.eos},
                 [](int) { return true; });
    CHECK(reply == sample["ids"].get<std::vector<int>>());
    CHECK(folder.answer_text(reply) == sample["answer"].get<std::string>());
  }
}

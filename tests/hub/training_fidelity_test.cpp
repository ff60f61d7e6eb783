// LLaVA's two stages against transformers, autograd and torch.optim.AdamW (tests/reference/make_training_runs.py).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "tessera/hub/llava_trainer.hpp"

#include "catch.hpp"
#include "support/temporary_folder.hpp"

using namespace tessera;

namespace {

const std::filesystem::path data = TESSERA_TEST_DATA;

struct Golden {
  std::filesystem::path folder;
  io::json run;
  io::SafetensorsFile tensors;

  explicit Golden(const std::string& stage)
      : folder(data / "training" / stage),
        run(io::read_json_file(folder / "run.json")),
        tensors(folder / "expected.safetensors") {}

  hub::LlavaRecipe recipe() const {
    hub::LlavaRecipe recipe;
    recipe.conversation = io::conversation_template(run["template"].get<std::string>());
    recipe.batch = run["batch"];
    recipe.accumulate = 1;
    recipe.order = train::Order::given;
    recipe.learning_rate = run["lr"];
    recipe.warmup_ratio = run["warmup_ratio"];
    recipe.optimizer = {run["betas"][0], run["betas"][1], run["eps"], run["weight_decay"], run["clip"]};
    return recipe;
  }
  hub::TrainingPaths paths(const std::filesystem::path& out) const {
    return {.model = data / "models/llava15_hub_f32/model",
            .vision_tower = {},
            .data = folder / "data.json",
            .images = data / "models/llava15_hub_f32_two_images",
            .out = out,
            .feature_cache = {}};
  }
  std::vector<float> values(const std::string& name) const {
    const io::TensorView* tensor = tensors.find(name);
    REQUIRE(tensor != nullptr);
    std::vector<float> result(tensor->data.size() / sizeof(float));
    std::memcpy(result.data(), tensor->data.data(), tensor->data.size());
    return result;
  }
};

/// max |actual − expected| / max |expected|
double largest_error(std::span<const float> actual, const std::vector<float>& expected) {
  REQUIRE(actual.size() == expected.size());
  double error = 0, largest = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double difference = std::abs(double{actual[i]} - double{expected[i]});
    if (!(difference <= error)) error = difference;
    largest = std::max(largest, std::abs(double{expected[i]}));
  }
  return error / largest;
}

template <class StageT>
void check_stage(const std::string& stage, int tensors) {
  const Golden golden(stage);
  const test::TemporaryFolder out;
  hub::LlavaTrainer<StageT, Llava15<>> trainer(golden.paths(out.path), golden.recipe(),
                                               static_cast<std::int64_t>(golden.run["steps"].size()), 0, 2);
  REQUIRE(trainer.optimizer().parameters().size() == static_cast<std::size_t>(tensors));
  const auto compare = [&](const std::string& what, std::span<float> train::Parameter::*member, double bound) {
    for (const train::Parameter& p : trainer.optimizer().parameters()) {
      const std::string name = hub::published_name(trainer.names(), p.name);
      INFO(what << name);
      CHECK(largest_error(p.*member, golden.values(what + name)) < bound);
    }
  };
  double worst_loss = 0;
  trainer.run({.gradients =
                   [&](auto, double) {
                     if (trainer.steps_done() == 0) compare("gradient.", &train::Parameter::gradient, 1e-5);
                   },
               .step =
                   [&](const hub::TrainingReport& report) {
                     const io::json& expected = golden.run["steps"][static_cast<std::size_t>(report.step)];
                     CHECK(report.learning_rate == Approx(expected["lr"].get<double>()).epsilon(1e-12));
                     CHECK(report.gradient_norm == Approx(expected["grad_norm"].get<double>()).epsilon(1e-3));
                     worst_loss = std::max(worst_loss, std::abs(report.loss - expected["loss_float64"].get<double>()));
                     if (report.step == 2) compare("after.", &train::Parameter::values, 1e-5);
                     return true;
                   }});
  // Over the whole run we are as near to float64 as PyTorch's float32 is.
  INFO("largest distance to the run in float64: " << worst_loss);
  CHECK(worst_loss <= 2 * golden.run["drift"].get<double>());
}

}  // namespace

TEST_CASE("stage 1 follows PyTorch: gradients, parameters, 200 losses") {
  check_stage<train::llava_stage1>("stage1", 4);
}
TEST_CASE("stage 2 follows PyTorch: gradients, parameters, 200 losses") {
  check_stage<train::llava_stage2>("stage2", 4 + 1 + 2 * 9 + 1 + 1);
}

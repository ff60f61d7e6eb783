// LLaVA's two stages against transformers, autograd and torch.optim.AdamW (tests/reference/make_training_runs.py).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tessera/hub/llava_trainer.hpp"
#include "tessera/testing/approx.hpp"

#include "catch.hpp"
#include "support/fidelity_document.hpp"
#include "support/loss_distance.hpp"
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
    error = testing::larger_error(error, std::abs(double{actual[i]} - double{expected[i]}));
    largest = std::max(largest, std::abs(double{expected[i]}));
  }
  return error / largest;
}

/// What was measured for a stage.
struct StageResult {
  double gradients = 0, parameters = 0;  // the worst tensor's
  double losses = 0, drift = 0;          // distance of our and of PyTorch's float32 losses to those in float64
};

template <class StageT>
StageResult check_stage(const std::string& stage, int tensors) {
  const Golden golden(stage);
  const test::TemporaryFolder out;
  hub::LlavaTrainer<StageT, Llava15<>> trainer(golden.paths(out.path), golden.recipe(),
                                               static_cast<std::int64_t>(golden.run["steps"].size()), 0, 2);
  REQUIRE(trainer.optimizer().parameters().size() == static_cast<std::size_t>(tensors));
  const auto worst_error = [&](const std::string& what, std::span<float> train::Parameter::*member) {
    double worst = 0;
    for (const train::Parameter& p : trainer.optimizer().parameters()) {
      const std::string name = hub::published_name(trainer.names(), p.name);
      const double error = largest_error(p.*member, golden.values(what + name));
      INFO(what << name);
      CHECK(error < 1e-5);
      worst = std::max(worst, error);
    }
    return worst;
  };
  StageResult row;
  test::LossDistance ours, theirs;
  trainer.run({.gradients =
                   [&](auto, double) {
                     if (trainer.steps_done() == 0)
                       row.gradients = worst_error("gradient.", &train::Parameter::gradient);
                   },
               .step =
                   [&](const hub::TrainingReport& report) {
                     const io::json& expected = golden.run["steps"][static_cast<std::size_t>(report.step)];
                     CHECK(report.learning_rate == Approx(expected["lr"].get<double>()).epsilon(1e-12));
                     CHECK(report.gradient_norm == Approx(expected["grad_norm"].get<double>()).epsilon(1e-3));
                     ours.add(report.loss, expected);
                     theirs.add(expected["loss"], expected);
                     if (report.step == 2) row.parameters = worst_error("after.", &train::Parameter::values);
                     return true;
                   }});
  row.losses = ours.mean();
  row.drift = theirs.mean();
  test::check_as_near(ours, theirs);
  return row;
}

void document_stages(const std::vector<std::pair<std::string, StageResult>>& stages) {
  std::ostringstream out;
  out << "LLaVA-1.5's stages over 200 steps against transformers, autograd and torch.optim.AdamW "
         "(`tests/reference/make_training_runs.py`), on a\ntiny checkpoint. Gradients of the first step and parameters "
         "after three: max |Δ| / max |reference| of the worst tensor, bound 1e-05.\nLosses: distance to the same run "
         "in "
         "float64 (root mean square over the steps); the bound is 1.1 times that of PyTorch's own run in float32.\n\n"
         "| stage | gradients | parameters | losses | PyTorch's losses |\n|---|---|---|---|---|\n";
  const auto number = test::FidelityDocument::number;
  for (const auto& [stage, row] : stages) {
    out << "| " << stage << " | " << number(row.gradients) << " | " << number(row.parameters) << " | "
        << number(row.losses) << " | " << number(row.drift) << " |\n";
  }
  test::FidelityDocument::add("Training: LLaVA-1.5's two stages", out.str());
}

}  // namespace

TEST_CASE("both stages follow PyTorch: gradients, parameters, 200 losses") {
  const StageResult stage1 = check_stage<train::llava_stage1>("stage1", 4);
  const StageResult stage2 = check_stage<train::llava_stage2>("stage2", 4 + 1 + 2 * 9 + 1 + 1);
  document_stages({{"stage1", stage1}, {"stage2", stage2}});
}

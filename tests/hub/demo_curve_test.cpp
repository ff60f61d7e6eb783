// The demo's training against transformers' (tests/reference/demo_curves.py): the losses of the first steps of LLaVA's
// stages, from the weights that examples/train_demo.sh starts them with.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "tessera/hub/llava_trainer.hpp"

#include "catch.hpp"
#include "cli/scenes_command.hpp"
#include "support/loss_distance.hpp"
#include "support/temporary_folder.hpp"

using namespace tessera;

namespace {

const std::filesystem::path curves = std::filesystem::path(TESSERA_TEST_DATA) / "demo_training";
const std::filesystem::path shipped = std::filesystem::path(TESSERA_EXAMPLES) / "models/llava15-scenes";

/// The shipped model with other weights: those of `files`, of which the last with a tensor counts.
void write_start(const std::filesystem::path& folder, const std::vector<std::string>& files) {
  io::make_folder(folder);
  for (const auto& entry : std::filesystem::directory_iterator(shipped)) {
    if (entry.path().filename() != "model.safetensors") std::filesystem::copy(entry, folder / entry.path().filename());
  }
  std::vector<io::SafetensorsFile> sources;
  sources.emplace_back(shipped / "model.safetensors");
  for (const std::string& file : files) sources.emplace_back(curves / file);
  std::map<std::string, io::TensorView> tensors;
  for (const io::SafetensorsFile& source : sources) {
    for (const std::string& name : source.names()) {
      REQUIRE((&source == &sources.front() || tensors.count(name) == 1));
      tensors.insert_or_assign(name, *source.find(name));
    }
  }
  std::vector<io::TensorView> list;
  for (const auto& [name, tensor] : tensors) list.push_back(tensor);
  io::write_safetensors(folder / "model.safetensors", list, {{"format", "pt"}});
}

void write_data(const std::filesystem::path& folder, const io::json& options, std::size_t count) {
  std::vector<std::string> tasks;
  std::istringstream names(options["tasks"].get<std::string>());
  for (std::string name; std::getline(names, name, ',');) tasks.push_back(name);
  cli::run_scenes({.out = folder.string(),
                   .count = count,
                   .seed = options["seed"],
                   .objects = options["objects"],
                   .tasks = tasks,
                   .tasks_per_scene = options.value("tasks_per_scene", 1)});
}

/// What was measured over the first steps of a stage.
struct Followed {
  std::vector<double> differences;  // |Δ| / loss to PyTorch in float32, of each step
  test::LossDistance ours, theirs;  // ours and PyTorch's in float32, to PyTorch's in float64

  double largest_difference(std::size_t steps) const { return std::ranges::max(std::span(differences).first(steps)); }
};

template <class StageT>
Followed follow(const std::string& stage, const std::vector<std::string>& start, io::ConversationTemplate conversation,
                std::int64_t steps) {
  INFO(stage);
  const io::json golden = io::read_json_file(curves / (stage + ".json"));
  const test::TemporaryFolder work;
  write_start(work.path / "start", start);
  hub::LlavaRecipe recipe;
  recipe.conversation = conversation;
  recipe.batch = golden["batch"];
  recipe.accumulate = 1;
  recipe.order = train::Order::given;
  recipe.learning_rate = golden["lr"];
  write_data(work.path / "data", golden["scenes"], static_cast<std::size_t>(steps * recipe.batch));
  hub::LlavaTrainer<StageT, Llava15<>> trainer({.model = work.path / "start",
                                                .vision_tower = {},
                                                .data = work.path / "data/data.json",
                                                .images = work.path / "data",
                                                .out = work.path / "out",
                                                .feature_cache = {}},
                                               recipe, steps, golden["schedule_steps"], 2);
  Followed result;
  trainer.run({.gradients = {}, .step = [&](const hub::TrainingReport& report) {
                 const io::json& expected = golden["steps"][static_cast<std::size_t>(report.step)];
                 const double loss = expected["loss"];
                 CHECK(report.learning_rate == Approx(expected["lr"].get<double>()).epsilon(1e-12));
                 result.differences.push_back(std::abs(report.loss - loss) / loss);
                 result.ours.add(report.loss, expected);
                 result.theirs.add(loss, expected);
                 return true;
               }});
  return result;
}

Followed follow_stage1(std::int64_t steps) {
  return follow<train::llava_stage1>("stage1", {"stage1_start.safetensors"}, io::ConversationTemplate::plain, steps);
}
Followed follow_stage2(std::int64_t steps) {
  return follow<train::llava_stage2>("stage2", {"stage1_start.safetensors", "stage2_start.safetensors"},
                                     io::ConversationTemplate::hugging_face, steps);
}

}  // namespace

TEST_CASE("the demo's stages start as in transformers") {
  CHECK(follow_stage1(3).largest_difference(3) < 1e-6);
  CHECK(follow_stage2(3).largest_difference(3) < 1e-6);
}

// Minutes.
TEST_CASE("the demo's stage 1 follows transformers for 200 steps", "[.][long]") {
  const Followed run = follow_stage1(200);
  CHECK(run.largest_difference(200) < 1e-6);
  test::check_as_near(run.ours, run.theirs);
}

// Once the learning rate is high, roundings grow tenfold in about 25 steps.
TEST_CASE("the demo's stage 2 follows transformers for 200 steps", "[.][long]") {
  const Followed run = follow_stage2(200);
  CHECK(run.largest_difference(100) < 1e-4);
  test::check_as_near(run.ours, run.theirs);
}

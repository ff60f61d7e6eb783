// The parts of the demo model that LLaVA takes as given, trained from nothing, and the data of LLaVA's own stages:
//
//     train_demo --work build/train_demo
//
// leaves start/ (a LLaVA folder with a trained tower, a trained language model and a new projector), captions.jsonl,
// conversations.jsonl and images/. examples/train_demo.sh goes on from there with `tessera train`.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "tessera/hub/llava.hpp"
#include "tessera/hub/llava_folder.hpp"
#include "tessera/model/initialize.hpp"

#include "demo/data.hpp"
#include "demo/language.hpp"
#include "demo/phase.hpp"
#include "demo/tower.hpp"

using namespace tessera;

namespace {

struct Options {
  std::filesystem::path work, shape = "examples/models/llava15-scenes";
  int divide = 1, threads = default_threads();

  std::int64_t steps(std::int64_t full) const { return full / divide; }
};

constexpr int tower_batch = 64, text_batch = 32, stage_batch = 32;

/// Weights whose products are as large as what goes in, whatever the width: deviation 1 / √columns.
template <class Model>
void start_weights(Model& model, WeightStore& store, std::uint64_t seed) {
  ops::NativeTraining ops;
  initialize(model, ops, store, seed, [](int columns) { return 1 / std::sqrt(static_cast<float>(columns)); });
}

/// Files in bf16, as the demo is published.
class Bf16Tensors {
 public:
  template <class Part>
  void add(const std::string& prefix, const Part& part) {
    for_each_param([&](const std::string& name, const auto& weight) { add_weight(prefix + name, weight); }, part);
  }
  void write(const std::filesystem::path& file) const { io::write_safetensors(file, tensors_, {{"format", "pt"}}); }

 private:
  template <class W>
  void add_weight(const std::string& name, const W& weight) {
    std::vector<std::byte>& bytes = values_.emplace_back(weight.size() * size_of(DType::bf16));
    convert_numbers<f32, bf16>(static_cast<const std::byte*>(weight.data()), weight.size(), bytes.data());
    tensors_.push_back({name, DType::bf16, weight.file_shape(), bytes});
  }

  std::vector<std::vector<std::byte>> values_;
  std::vector<io::TensorView> tensors_;
};

class Demo {
 public:
  explicit Demo(const Options& options)
      : options_(options),
        folder_(hub::LlavaFolder::open(options.shape)),
        batches_(folder_, tower_batch, text_batch),
        tower_(folder_.config.vision,
               {.vocab = folder_.config.text.vocab, .positions = 64, .width = 96, .heads = 3, .depth = 2, .inner = 256},
               folder_.config.vision.width),
        language_(folder_.config.text) {
    io::make_folder(options.work);
    start_weights(tower_, store_, 1);
    start_weights(language_, store_, 2);
    const float log_scale = std::log(1 / 0.07f);  // CLIP's
    *const_cast<float*>(tower_.logit_scale.values()) = log_scale;
  }

  void train_tower() {
    demo::TowerLoss loss(tower_);
    const auto run = [&](const char* name, std::int64_t steps, auto&& make) {
      demo::Phase<demo::TowerModel>(tower_, phase(name, steps)).run(make, loss);
    };
    const std::int64_t steps = options_.steps(800);
    run("tower", steps, [&](std::int64_t step) {
      return batches_.captioned(step, static_cast<double>(step) / static_cast<double>(steps));
    });
    run("shapes", options_.steps(4000), [&](std::int64_t step) { return batches_.crowded(step); });
  }

  void train_language() {
    demo::LanguageLoss loss(language_);
    const std::int64_t steps = options_.steps(800);
    demo::Phase<Llama<>>(language_, phase("language", steps))
        .run(
            [&](std::int64_t step) {
              return batches_.texts(step, static_cast<double>(step) / static_cast<double>(steps));
            },
            loss);
  }

  /// A LLaVA folder with a new projector.
  void write_start() {
    MLPProjector<2> projector(tower_.width(), language_.width());
    start_weights(projector, store_, 3);
    const std::filesystem::path start = options_.work / "start";
    io::make_folder(start);
    for (const char* name : {"config.json", "generation_config.json", "chat_template.jinja", "preprocessor_config.json",
                             "processor_config.json", "tokenizer.json", "tokenizer_config.json"})
      std::filesystem::copy_file(options_.shape / name, start / name,
                                 std::filesystem::copy_options::overwrite_existing);
    Bf16Tensors tensors;
    tensors.add("vision_tower.", tower_.vision_model);
    tensors.add("vision_tower.post_layernorm.", tower_.post_layernorm);
    tensors.add("multi_modal_projector.", projector);
    tensors.add("language_model.", language_);
    tensors.write(start / "model.safetensors");
  }

  void write_stage_data() const {
    const auto samples = [&](std::int64_t steps) {
      return static_cast<std::size_t>(options_.steps(steps) * stage_batch);
    };
    cli::ProgressBar bar("scenes", true);
    demo::StageData{.folder = options_.work,
                    .single_scenes = samples(200),
                    .mixed_scenes = samples(800),
                    .captions = samples(400),
                    .single_talks = samples(500),
                    .mixed_talks = samples(5500)}
        .write([&](std::size_t done, std::size_t all) { bar.update(done, all); });
  }

 private:
  demo::PhaseOptions phase(const char* name, std::int64_t steps) const {
    return {.name = name, .folder = options_.work, .steps = steps, .threads = options_.threads};
  }

  Options options_;
  hub::LlavaFolder folder_;
  demo::Batches batches_;
  WeightStore store_;
  demo::TowerModel tower_;
  Llama<> language_;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trains the tower and the language model of the demo, and writes the data of LLaVA's stages");
  Options options;
  app.add_option("--work", options.work, "Folder for all results; a run that was stopped goes on here")->required();
  app.add_option("--shape", options.shape, "LLaVA folder whose configuration and tokenizer the demo has")
      ->capture_default_str();
  app.add_option("--threads", options.threads, "Threads to use")->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--divide", options.divide, "Divides all numbers of steps: 30 shows how losses fall")
      ->check(CLI::Range(1, 800))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    Demo demo(options);
    demo.write_stage_data();
    demo.train_tower();
    demo.train_language();
    demo.write_start();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train_demo: %s\n", error.what());
    return 1;
  }
}

// tessera train: one training stage of a paper.

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "tessera/hub/llava_trainer.hpp"

#include "cli/commands.hpp"
#include "cli/progress.hpp"
#include "cli/runtime.hpp"
#include "cli/training_log.hpp"

namespace tessera::cli {
namespace {

struct TrainOptions {
  std::string system, log, plot, dump_step;
  int stage = 1;
  hub::TrainingPaths paths;
  std::int64_t steps = 0, schedule_steps = 0, save_every = 0;
  bool new_projector = false, truncate = false, resume = false, skip_broken = false, quiet = false;
  // Absent: the paper's.
  std::optional<std::string> conversation, aspect_ratio, schedule, order;
  std::optional<double> epochs, learning_rate, connector_learning_rate, warmup_ratio, weight_decay, beta1, beta2,
      epsilon, clip;
  std::optional<int> batch, accumulate, max_length;
  std::optional<std::uint64_t> seed;
  RuntimeOptions runtime;

  hub::LlavaRecipe recipe() const {
    hub::LlavaRecipe recipe = hub::LlavaRecipe::of(system == "llava" ? 1 : 15, stage);
    if (conversation) recipe.conversation = io::conversation_template(*conversation);
    if (aspect_ratio) recipe.pad_to_square = *aspect_ratio == "pad";
    if (schedule) recipe.decay = static_cast<train::Decay>(index_in(train::decay_names, *schedule));
    if (order) recipe.order = static_cast<train::Order>(index_in(train::order_names, *order));
    const auto set = [](const auto& given, auto& value) {
      if (given) value = *given;
    };
    set(epochs, recipe.epochs);
    set(learning_rate, recipe.learning_rate);
    set(connector_learning_rate, recipe.connector_learning_rate);
    set(warmup_ratio, recipe.warmup_ratio);
    set(weight_decay, recipe.optimizer.weight_decay);
    set(beta1, recipe.optimizer.beta1);
    set(beta2, recipe.optimizer.beta2);
    set(epsilon, recipe.optimizer.epsilon);
    set(clip, recipe.optimizer.clip);
    set(batch, recipe.batch);
    set(accumulate, recipe.accumulate);
    set(max_length, recipe.max_length);
    set(seed, recipe.seed);
    if (batch && !accumulate) recipe.accumulate = 1;
    recipe.new_connector = new_projector;
    recipe.truncate = truncate;
    return recipe;
  }

 private:
  template <class Names>
  static std::size_t index_in(const Names& names, const std::string& name) {
    return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
  }
};

/// Ids or labels of a batch, padded on the right to the longest: [sequences, longest].
void write_padded(const std::filesystem::path& file, std::span<const io::LabelledIds> texts,
                  std::vector<int> io::LabelledIds::*what, std::int64_t padding) {
  std::size_t longest = 0;
  for (const io::LabelledIds& text : texts) longest = std::max(longest, (text.*what).size());
  std::vector<std::int64_t> values;
  for (const io::LabelledIds& text : texts) {
    values.insert(values.end(), (text.*what).begin(), (text.*what).end());
    values.insert(values.end(), longest - (text.*what).size(), padding);
  }
  const std::vector<std::int64_t> shape{static_cast<std::int64_t>(texts.size()), static_cast<std::int64_t>(longest)};
  io::write_npy(file, DType::i64, shape, std::as_bytes(std::span(values)));
}

template <class StageT, class Model>
void train_stage(const TrainOptions& options) {
  hub::LlavaTrainer<StageT, Model> trainer(
      options.paths, options.recipe(), options.steps, options.schedule_steps, options.runtime.threads,
      options.skip_broken ? io::ConversationData::Broken::skip : io::ConversationData::Broken::refuse);
  for (const std::string& line : trainer.data().skipped()) std::fprintf(stderr, "skipped: %s\n", line.c_str());
  io::make_folder(options.paths.out);
  if (options.resume) trainer.resume();
  TrainingLog log(options.log, options.plot, trainer.steps_done());
  const auto plot = [&] { log.plot("Loss of stage " + std::to_string(options.stage)); };
  ProgressBar bar("train", !options.quiet);
  const std::filesystem::path dump = options.dump_step;
  bool dumped = dump.empty() || trainer.steps_done() > 0;
  trainer.run({.gradients =
                   [&](std::span<const io::LabelledIds> texts, double loss) {
                     if (std::exchange(dumped, true)) return;
                     io::make_folder(dump);
                     const float value = static_cast<float>(loss);
                     io::write_npy(dump / "loss.npy", DType::f32, std::vector<std::int64_t>{},
                                   std::as_bytes(std::span(&value, 1)));
                     write_padded(dump / "input_ids.npy", texts, &io::LabelledIds::ids, 0);
                     write_padded(dump / "labels.npy", texts, &io::LabelledIds::labels, ignored_label);
                     hub::write_trained_tensors(dump / "grads.safetensors", trainer.optimizer(), trainer.names(),
                                                &train::Parameter::gradient);
                   },
               .step =
                   [&](const hub::TrainingReport& report) {
                     const std::int64_t done = report.step + 1;
                     log.add(report);
                     bar.update(static_cast<std::uint64_t>(done), static_cast<std::uint64_t>(trainer.steps()),
                                log.summary(trainer.steps() - done));
                     if (options.save_every > 0 && done % options.save_every == 0) {
                       trainer.save();
                       plot();
                     }
                     return true;
                   }});
  trainer.save();
  trainer.write_model();
  plot();
  if (!dump.empty()) {
    io::make_folder(dump);
    hub::write_trained_tensors(dump / "after.safetensors", trainer.optimizer(), trainer.names(),
                               &train::Parameter::values);
  }
  if (!options.quiet) std::printf("%s\n", log.last_line().c_str());
}

template <class Model>
void train_model(const TrainOptions& options) {
  options.stage == 1 ? train_stage<train::llava_stage1, Model>(options)
                     : train_stage<train::llava_stage2, Model>(options);
}

void run(const TrainOptions& options) {
  options.runtime.apply();
  const int depth = hub::read_llava_config(options.paths.model, options.paths.vision_tower).projector_depth;
  const int expected = options.system == "llava" ? 1 : 2;
  if (depth != expected) {
    fail(options.paths.model.string(), ": its projector has ", depth, " linear layer(s), --system ", options.system,
         " has ", expected);
  }
  options.system == "llava" ? train_model<Llava<>>(options) : train_model<Llava15<>>(options);
}

}  // namespace

void add_train(CLI::App& app) {
  CLI::App* command = app.add_subcommand("train", "Run one training stage of a paper");
  const auto o = std::make_shared<TrainOptions>();
  command->add_option("--system", o->system, "The paper")->required()->check(CLI::IsMember({"llava", "llava-1.5"}));
  command->add_option("--stage", o->stage, "1: the projector alone; 2: projector and language model")
      ->required()
      ->check(CLI::Range(1, 2));
  command->add_option("--model", o->paths.model, "Model folder to start from")->required();
  command->add_option("--vision-tower", o->paths.vision_tower,
                      "Folder of the vision tower, where a checkpoint keeps it elsewhere");
  command->add_option("--data", o->paths.data, "Conversations, LLaVA's JSON or JSON Lines")->required();
  command->add_option("--images", o->paths.images, "Folder of the images")->required();
  command->add_option("--out", o->paths.out, "Model folder to write")->required();
  CLI::Option* steps = command->add_option("--steps", o->steps, "Steps to stop after")
                           ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
  command->add_option("--epochs", o->epochs, "Passes over the data; default 1")
      ->check(CLI::PositiveNumber)
      ->excludes(steps);
  command->add_option("--schedule-steps", o->schedule_steps, "Length of the schedule; default the steps")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
  command->add_option("--template", o->conversation,
                      "Conversation template (plain, v1, llava_llama_2 ...; default: the paper's)");
  command->add_option("--image-aspect-ratio", o->aspect_ratio, "Pad images to a square first, or not")
      ->check(CLI::IsMember({"pad", "square"}));
  command
      ->add_option("--batch", o->batch, "Sequences that go through the model together; given alone, these are a step")
      ->check(CLI::Range(1, 1 << 16));
  command->add_option("--accumulate", o->accumulate, "Batches in a step")->check(CLI::Range(1, 1 << 16));
  command->add_option("--lr", o->learning_rate, "Peak learning rate")->check(CLI::NonNegativeNumber);
  command->add_option("--projector-lr", o->connector_learning_rate, "The projector's, if it differs")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--schedule", o->schedule, "How the learning rate falls")
      ->check(CLI::IsMember(std::vector<std::string>(train::decay_names.begin(), train::decay_names.end())));
  command->add_option("--warmup-ratio", o->warmup_ratio, "Part of the schedule in which the learning rate rises")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--weight-decay", o->weight_decay, "Of matrices")->check(CLI::NonNegativeNumber);
  command->add_option("--beta1", o->beta1, "Of AdamW")->check(CLI::Range(0.0, 1.0));
  command->add_option("--beta2", o->beta2, "Of AdamW")->check(CLI::Range(0.0, 1.0));
  command->add_option("--eps", o->epsilon, "Of AdamW")->check(CLI::PositiveNumber);
  command->add_option("--clip", o->clip, "Largest norm of all gradients; 0 for no clipping")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--new-projector", o->new_projector,
                    "Start with a projector of fresh weights, drawn with --seed, as the paper's stage 1 does");
  command->add_option("--order", o->order, "Order of the samples")
      ->check(CLI::IsMember(std::vector<std::string>(train::order_names.begin(), train::order_names.end())));
  command->add_option("--seed", o->seed, "Of the order and of a new projector");
  command->add_option("--save-every", o->save_every, "Steps between two saves; 0 saves at the end alone")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--resume", o->resume, "Go on from the last save in --out, if there is one");
  command->add_flag("--skip-broken", o->skip_broken,
                    "Leave out entries that cannot be trained instead of refusing the data");
  command
      ->add_option("--max-length", o->max_length,
                   "Tokens of the longest conversation, image rows included; default 2048")
      ->check(CLI::Range(2, 1 << 24));
  command->add_flag("--truncate", o->truncate,
                    "Cut conversations that are longer, as LLaVA does, instead of refusing them");
  command->add_option("--cache-features", o->paths.feature_cache,
                      "Folder that keeps what the tower made of the images");
  command->add_option("--log", o->log, "JSON Lines file, a line for each step");
  command->add_option("--plot", o->plot, "PNG file of the loss, drawn at every save");
  command->add_option("--dump-step", o->dump_step,
                      "Folder that gets loss, ids, labels and gradients of the first step, and the trained tensors");
  command->add_flag("--quiet", o->quiet, "Print nothing");
  o->runtime.add_machine_to(*command);
  command->callback([o] { run(*o); });
}

}  // namespace tessera::cli

#pragma once
/// Trains a stage of LLaVA or LLaVA-1.5 on conversations: images through the frozen tower once, batches without
/// padding, AdamW, checkpoints that resume bit for bit.

#include <cmath>
#include <filesystem>
#include <functional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/hub/feature_cache.hpp"
#include "tessera/hub/llava.hpp"
#include "tessera/hub/llava_folder.hpp"
#include "tessera/hub/llava_recipe.hpp"
#include "tessera/hub/training_files.hpp"
#include "tessera/io/conversation_data.hpp"
#include "tessera/io/prefetch.hpp"
#include "tessera/ops/native_training.hpp"
#include "tessera/ops/watched.hpp"
#include "tessera/train/step.hpp"

namespace tessera::hub {

/// Where a run reads and writes.
struct TrainingPaths {
  std::filesystem::path model, vision_tower, data, images, out, feature_cache;
};

/// What a step was like. The loss is the mean over the step's labels.
struct TrainingReport {
  std::int64_t step = 0;
  double loss = 0;
  double learning_rate = 0;
  double gradient_norm = 0;  ///< before clipping
  std::int64_t tokens = 0;   ///< that went through the language model, image rows included
};

/// A run of one stage. The model's type has the slots of `Llava` or `Llava15`.
template <class StageT, class Model>
class LlavaTrainer {
  static_assert(!StageT::vision.any(), "LlavaTrainer: the tower of LLaVA is frozen in both stages");

 public:
  /// Reads model and data, and checks all of the data. `steps` 0: what the recipe's epochs make. `schedule_steps` 0: as
  /// many.
  LlavaTrainer(TrainingPaths paths, const LlavaRecipe& recipe, std::int64_t steps, std::int64_t schedule_steps,
               int threads, io::ConversationData::Broken broken = io::ConversationData::Broken::refuse)
      : paths_(std::move(paths)),
        recipe_(recipe),
        threads_(threads),
        folder_(open_folder()),
        model_(load()),
        tower_hash_(weights_hash(model_.vision)),
        names_(model_names()),
        data_(paths_.data, paths_.images, folder_.tokenizer, format(), broken),
        order_(recipe.order, data_.modality_lengths(), recipe.batch, recipe.accumulate, recipe.seed),
        gradients_(make_gradients()),
        optimizer_(train::trained_parameters<StageT>(model_, gradients_, connector_rate()), recipe.optimizer),
        step_(model_, ops_, gradients_, {}, threads),
        batches_(static_cast<std::size_t>(recipe.accumulate)),
        features_(paths_.feature_cache.empty() ? 0 : feature_salt(), memory_for_features, paths_.feature_cache) {
    steps_ = steps != 0
                 ? steps
                 : static_cast<std::int64_t>(std::ceil(recipe.epochs * static_cast<double>(order_.steps_per_epoch())));
    schedule_ = {recipe.decay, recipe.learning_rate, schedule_steps != 0 ? schedule_steps : steps_,
                 recipe.warmup_ratio};
    train::validate(schedule_);
    description_ = describe_run();
  }

  /// Steps of the whole run, and steps done.
  std::int64_t steps() const { return steps_; }
  std::int64_t steps_done() const { return optimizer_.steps(); }
  const io::ConversationData& data() const { return data_; }
  const train::AdamW& optimizer() const { return optimizer_; }
  const io::NameMap& names() const { return names_; }

  void save() const {
    io::make_folder(paths_.out);
    write_training_state(state_file(), optimizer_, description_);
  }
  /// Goes on from the last save(), if there is one.
  void resume() {
    io::remove_abandoned_files(paths_.out);
    if (std::filesystem::exists(state_file())) read_training_state(state_file(), optimizer_, description_);
  }
  /// Writes the model folder.
  void write_model() const { write_trained_model(paths_.out, paths_.model, optimizer_, names_, recipe_.pad_to_square); }

  /// Either may be empty.
  struct Watch {
    /// Called with all samples of a step when its gradients are there, before they are clipped and used.
    std::function<void(std::span<const io::LabelledIds>, double loss)> gradients;
    std::function<bool(const TrainingReport&)> step;  ///< false stops the run
  };

  /// Runs the remaining steps.
  void run(const Watch& watch) {
    std::vector<int> samples;
    for (std::int64_t step = steps_done(); step < steps_; ++step) {
      const std::span<const int> more = order_.samples(step);
      samples.insert(samples.end(), more.begin(), more.end());
    }
    io::Prefetcher<Item> items(samples.size(), 1, static_cast<std::size_t>(2 * recipe_.batch),
                               [&](std::size_t i) { return read(samples[i]); });
    while (steps_done() < steps_) {
      const TrainingReport report = advance(items, watch);
      if (watch.step && !watch.step(report)) break;
    }
  }

 private:
  static constexpr std::size_t memory_for_features = std::size_t{1} << 30;
  using Ops = ops::NativeTraining;

  /// A sample as the batches need it.
  struct Item {
    io::LabelledIds text;
    bool has_image = false;
    std::uint64_t key = 0;
    std::vector<float> pixels;    // empty if the tower has seen the image before
    std::vector<float> features;  // the tower's rows
  };

  LlavaFolder open_folder() const {
    LlavaFolder folder = LlavaFolder::open(paths_.model, paths_.vision_tower);
    folder.processor.pad_to_square = recipe_.pad_to_square;
    return folder;
  }

  Model load() {
    SlotFormats formats = folder_.config.stored;
    if (StageT::connector.dw) formats.connector = DType::f32;
    if (StageT::language.dw) formats.language = DType::f32;
    const std::uint64_t* new_connector_seed = recipe_.new_connector ? &recipe_.seed : nullptr;
    Model model = load_llava<Model>(paths_.model, folder_.config, formats, ops_, store_, {}, new_connector_seed);
    train::own_trained_weights<StageT>(model, store_);
    return model;
  }

  io::NameMap model_names() const {
    const io::Checkpoint checkpoint = io::Checkpoint::open(paths_.model);
    return detail::llava_names(checkpoint, folder_.config, static_cast<int>(model_.vision.encoder.layers.size()),
                               paths_.model.string());
  }

  io::TrainingFormat format() const {
    return {.conversation = recipe_.conversation,
            .image_token = model_.splice.image_token,
            .rows_per_image = model_.image_tokens(),
            .max_length = recipe_.max_length,
            .truncate = recipe_.truncate};
  }

  Gradients<float> make_gradients() const {
    if constexpr (StageT::language.dw)
      return Gradients<float>(model_.connector, model_.language);
    else
      return Gradients<float>(model_.connector);
  }

  double connector_rate() const {
    if (!recipe_.connector_learning_rate) return 1;
    if (recipe_.learning_rate == 0) fail("a learning rate of the connector's own needs another one that is not 0");
    return *recipe_.connector_learning_rate / recipe_.learning_rate;
  }

  /// Tells towers and image processing apart in a folder that other runs use too.
  std::uint64_t feature_salt() const {
    const auto& vision = model_.vision;
    std::ostringstream text;
    text.precision(9);
    text << folder_.pixels_description() << " tower " << tower_hash_ << " patch " << vision.config.patch_size
         << " heads " << vision.config.heads << " activation " << static_cast<int>(vision.config.act) << " eps "
         << vision.config.norm_eps << (vision.selection.class_token ? " class token" : "");
    for (const int layer : vision.selection.layers) text << " layer " << layer;
    return hash_of(text.str());
  }

  static std::uint64_t hash_of(std::string_view text) {
    ContentHash hash;
    hash.add(std::as_bytes(std::span(text)));
    return hash.value();
  }

  std::filesystem::path state_file() const { return paths_.out / "training_state.safetensors"; }

  /// All that makes another run of it, the weights that it starts with included. Reads the data file.
  std::string describe_run() const {
    const LlavaRecipe& r = recipe_;
    ContentHash data, start;
    data.add(io::MappedFile(paths_.data).bytes());
    for (const int length : data_.modality_lengths()) data.add_value(length);  // of what is not skipped
    start.add_value(tower_hash_);
    start.add_value(weights_hash(model_.connector));
    start.add_value(weights_hash(model_.language));
    std::ostringstream text;
    text.precision(17);
    text << "stage" << (StageT::language.dw ? 2 : 1) << " batch " << r.batch << "x" << r.accumulate << " order "
         << train::order_names[static_cast<std::size_t>(r.order)] << " seed " << r.seed << " schedule "
         << train::decay_names[static_cast<std::size_t>(r.decay)] << " of " << schedule_.total_steps << " warm-up "
         << r.warmup_ratio << " rate " << r.learning_rate << "/" << r.connector_learning_rate.value_or(r.learning_rate)
         << " betas " << r.optimizer.beta1 << " " << r.optimizer.beta2 << " eps " << r.optimizer.epsilon << " decay "
         << r.optimizer.weight_decay << " clip " << r.optimizer.clip << " template " << static_cast<int>(r.conversation)
         << (r.truncate ? " cut at " : " of ") << r.max_length << " tokens data " << data.value() << " images "
         << folder_.pixels_description() << " start " << start.value();
    return text.str();
  }

  Item read(int index) {
    Item item;
    item.text = data_.labelled_ids(index);
    const auto image = data_.image_path(index);
    item.has_image = image.has_value();
    if (!image) return item;
    item.key = features_.key(*image);
    const auto count = static_cast<std::size_t>(model_.vision.tokens()) * static_cast<std::size_t>(model_.vision.out());
    if (auto known = features_.find(item.key, count)) {
      item.features = std::move(*known);
    } else {
      item.pixels = folder_.pixels(*image).values;
    }
    return item;
  }

  /// One step. Allocates nothing once batches of this size, with images that the tower has seen, were here before.
  TrainingReport advance(io::Prefetcher<Item>& items, const Watch& watch) {
    TrainingReport report{.step = steps_done()};
    const std::size_t count = order_.count(report.step);
    int labels = 0;
    for (std::vector<Item>& batch : batches_) batch.clear();
    for (std::size_t taken = 0; taken < count; ++taken) {
      std::vector<Item>& batch = batches_[taken / static_cast<std::size_t>(recipe_.batch)];
      batch.push_back(std::move(*items.next()));
      const io::LabelledIds& text = batch.back().text;
      report.tokens += static_cast<std::int64_t>(text.ids.size());
      labels += static_cast<int>(text.labels.size() -
                                 static_cast<std::size_t>(std::ranges::count(text.labels, ignored_label)));
    }
    gradients_.zero();
    double total = 0;
    for (std::vector<Item>& batch : filled_batches()) {
      look(batch);
      total += step_.forward_backward(join(batch), 1.0f / static_cast<float>(labels));
    }
    report.loss = total / labels;
    report.gradient_norm = optimizer_.gradient_norm();
    check_finite(report);
    if (watch.gradients) watch.gradients(texts(), report.loss);
    report.learning_rate = schedule_.rate(report.step);
    optimizer_.step(report.learning_rate, report.gradient_norm, threads_);
    return report;
  }

  /// The last step of an epoch may have fewer batches than others.
  std::span<std::vector<Item>> filled_batches() {
    const auto filled = std::ranges::find_if(batches_, [](const auto& batch) { return batch.empty(); });
    return {batches_.begin(), filled};
  }

  /// Of all samples of the step at hand.
  std::vector<io::LabelledIds> texts() const {
    std::vector<io::LabelledIds> all;
    for (const std::vector<Item>& batch : batches_) {
      for (const Item& item : batch) all.push_back(item.text);
    }
    return all;
  }

  /// A view of buffers that the next call fills anew.
  train::Batch<float> join(const std::vector<Item>& batch) {
    samples_.clear(), rows_.clear();
    int images = 0;
    for (const Item& item : batch) {
      samples_.add(item.text);
      rows_.insert(rows_.end(), item.features.begin(), item.features.end());
      images += item.has_image ? 1 : 0;
    }
    const auto rows = dense<const float>(rows_.data(), images * model_.vision.tokens(), model_.vision.out());
    return {
        .ids = samples_.ids, .labels = samples_.labels, .ends = samples_.ends, .images = images, .vision_rows = rows};
  }

  /// Runs the tower on the images of a batch that it has not seen.
  void look(std::vector<Item>& batch) {
    std::vector<Item*> fresh;
    std::vector<float> pixels;
    for (Item& item : batch) {
      if (item.pixels.empty()) continue;
      fresh.push_back(&item);
      pixels.insert(pixels.end(), item.pixels.begin(), item.pixels.end());
    }
    if (fresh.empty()) return;
    const int count = static_cast<int>(fresh.size()), tokens = model_.vision.tokens(), width = model_.vision.out();
    std::vector<float> rows(static_cast<std::size_t>(count) * static_cast<std::size_t>(tokens) *
                            static_cast<std::size_t>(width));
    const auto encode = [&](Context<Ops>& c) {
      infer(model_.vision, c, pixels.data(), count, dense(rows.data(), count * tokens, width));
    };
    Arena arena = plan_workspace(ops_, threads_, encode);
    Context<Ops> c(ops_, arena, threads_);
    encode(c);
    const std::size_t each = rows.size() / fresh.size();
    for (std::size_t i = 0; i < fresh.size(); ++i) {
      const std::span<const float> mine = std::span(rows).subspan(i * each, each);
      fresh[i]->features.assign(mine.begin(), mine.end());
      features_.store(fresh[i]->key, mine);
    }
  }

  /// Names what first went wrong.
  void check_finite(const TrainingReport& report) {
    if (std::isfinite(report.loss) && std::isfinite(report.gradient_norm)) return;
    fail("step ", report.step, ": loss ", report.loss, ", gradient norm ", report.gradient_norm, ": ",
         first_not_finite(), "; a lower learning rate or stronger clipping may help");
  }

  std::string first_not_finite() {
    const auto finite = [](std::span<const float> values) {
      return std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
    };
    for (const train::Parameter& p : optimizer_.parameters()) {
      if (!finite(p.values)) return "the parameter '" + p.name + "' is not finite";
    }
    const ops::Watched<Ops> watched(model_);
    train::Step<StageT, Model, ops::Watched<Ops>> again(model_, watched, gradients_, {}, threads_);
    for (const std::vector<Item>& batch : filled_batches()) {
      const train::Batch<float> inputs = join(batch);
      if (!finite(rows_)) return "what the vision tower makes of an image is not finite";
      try {
        again.loss(inputs);
      } catch (const Error& error) {
        return error.what();
      }
    }
    std::string where = "the loss";  // backward runs from the last parameter to the first
    for (const train::Parameter& p : optimizer_.parameters()) {
      if (!finite(p.gradient)) where = "the gradient of '" + p.name + "'";
    }
    return where + " is the first result that is not finite";
  }

  TrainingPaths paths_;
  LlavaRecipe recipe_;
  int threads_;
  Ops ops_;
  WeightStore store_;
  LlavaFolder folder_;
  Model model_;
  std::uint64_t tower_hash_;
  io::NameMap names_;
  io::ConversationData data_;
  train::SampleOrder order_;
  Gradients<float> gradients_;
  train::AdamW optimizer_;
  train::Step<StageT, Model, Ops> step_;
  std::vector<std::vector<Item>> batches_;  // of the step at hand
  FeatureCache features_;
  train::Schedule schedule_;
  std::int64_t steps_ = 0;
  std::string description_;    // what a state file must say to belong to this run
  io::JoinedSamples samples_;  // of the batch at hand
  std::vector<float> rows_;    // of its images
};

}  // namespace tessera::hub

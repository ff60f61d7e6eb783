#pragma once
// A model answers questions about scenes: alone, with the time of each part, or in an exam.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tessera/hub/llava.hpp"
#include "tessera/hub/llava_folder.hpp"
#include "tessera/model/generate.hpp"
#include "tessera/model/session.hpp"
#include "tessera/ops/native.hpp"

#include "cli/stopwatch.hpp"
#include "scenes/best_guess.hpp"
#include "scenes/dataset.hpp"

namespace tessera::demo {

/// A LLaVA-1.5 folder, the demo model for one, with its weights.
template <class Ops = ops::Native>
struct Pretrained {
  explicit Pretrained(const std::filesystem::path& path)
      : folder(hub::LlavaFolder::open(path)),
        model(hub::load_llava<Llava15<>>(path, folder.config, folder.config.stored, ops, store)) {}

  hub::LlavaFolder folder;
  Ops ops;
  WeightStore store;
  Llava15<> model;
};

/// Seconds spent in each part.
struct Times {
  double vision = 0, prefill = 0, decode = 0;
  int images = 0, tokens = 0, new_tokens = 0;
};

/// A model with the images, tokens and prompts of a folder. All arguments must outlive it.
template <class Model = Llava15<>, class Ops = ops::Native>
class Answerer {
 public:
  Answerer(const hub::LlavaFolder& folder, const Model& model, const Ops& ops)
      : folder_(folder), image_tokens_(model.image_tokens()), session_(model, ops, {.images = 1, .tokens = 512}) {}

  /// The answer to the last turn, a question; the image belongs to the first. Its pieces go to `on_text` as they come.
  std::string answer(const io::Pixels& pixels, std::vector<io::Turn> turns,
                     const std::function<void(const std::string&)>& on_text = {}) {
    session_.reset();
    cli::Stopwatch watch;
    session_.encode(pixels.values);
    times.vision += watch.lap();
    turns.front().text = folder_.with_images(turns.front().text, 1);
    const std::vector<int> ids = folder_.prompt_ids(folder_.format(turns), 1, image_tokens_);
    const auto logits = session_.prefill(ids);
    times.prefill += watch.lap();
    hub::AnswerStream stream(folder_.tokenizer);
    std::string text;
    const auto take = [&](const std::string& piece) {
      if (on_text) on_text(piece);
      text += piece;
    };
    const GenerateOptions options{.max_new = 80, .end_ids = folder_.generation.eos};
    const std::vector<int> reply = generate(session_, logits, ids, options, [&](int id) {
      take(stream.push(id));
      return true;
    });
    take(stream.finish());
    times.decode += watch.lap();
    times.images += 1;
    times.tokens += static_cast<int>(ids.size());
    times.new_tokens += static_cast<int>(reply.size());
    return text;
  }

  io::Pixels pixels(const io::Image& image) const { return folder_.processor.preprocess(image); }

  Times times;

 private:
  const hub::LlavaFolder& folder_;
  int image_tokens_;
  Session<Model, Ops> session_;
};

/// Scenes that no training has seen.
struct Exam {
  scenes::Split split = scenes::Split::test;
  scenes::Task task = scenes::Task::attribute;
  int objects = 1;
  std::size_t scenes = 100;

  static constexpr std::uint64_t seed = 20241, first_scene = 1000000;

  bool exists() const { return task != scenes::Task::relation || objects > 1; }
  scenes::DatasetOptions options() const {
    scenes::DatasetOptions options;
    options.scene.seed = seed;
    options.scene.split = split;
    options.scene.min_objects = options.scene.max_objects = objects;
    options.tasks = {task};
    return options;
  }
};

/// Right answers of a model, and of the text-only baseline.
struct Score {
  int asked = 0, right = 0, guessed = 0;

  double share() const { return static_cast<double>(right) / asked; }
  double guessed_share() const { return static_cast<double>(guessed) / asked; }
};

/// Asks every question of the exam, after the true turns before it. `note` gets each with the model's answer.
template <class Model, class Ops>
Score examine(Answerer<Model, Ops>& model, const scenes::BestGuess& guess, const Exam& exam,
              const std::function<void(const scenes::Turn&, const std::string&)>& note = {}) {
  Score score;
  scenes::for_each_sample(exam.options(), Exam::first_scene, exam.scenes, [&](const scenes::Sample& sample) {
    const io::Pixels pixels = model.pixels(scenes::render(sample.scene));
    std::vector<io::Turn> turns;
    for (const scenes::Turn& turn : sample.turns) {
      turns.push_back({"user", turn.question});
      const std::string answer = model.answer(pixels, turns);
      ++score.asked;
      score.right += answer == turn.answer;
      score.guessed += guess.answer(turn.question) == turn.answer;
      if (note) note(turn, answer);
      turns.push_back({"assistant", turn.answer});
    }
  });
  return score;
}

}  // namespace tessera::demo

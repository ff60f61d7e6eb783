// The demo model looks at pictures it has never seen: a few scenes with questions, answers and truth, then an exam of
// 200 scenes. Usage: scenes_demo MODEL_FOLDER

#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include <unistd.h>

#include "tessera/hub/llava.hpp"
#include "tessera/hub/llava_folder.hpp"
#include "tessera/model/generate.hpp"
#include "tessera/model/session.hpp"
#include "tessera/ops/native.hpp"

#include "scenes/dataset.hpp"

using namespace tessera;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::uint64_t exam_seed = 20241;  // not a training seed; the split is disjoint as well
constexpr int exam_scenes = 200;
constexpr std::array exam_tasks{scenes::Task::attribute, scenes::Task::existence, scenes::Task::size,
                                scenes::Task::count, scenes::Task::relation};

/// Seconds spent in each part.
struct Times {
  double vision = 0, prefill = 0, decode = 0;
  int images = 0, tokens = 0, new_tokens = 0;
};

class Answerer {
 public:
  explicit Answerer(const std::string& path)
      : folder_(hub::LlavaFolder::open(path)),
        model_(hub::load_llava<Llava15<>>(path, folder_.config, folder_.config.stored, ops_, store_)),
        session_(model_, ops_, {.images = 1, .tokens = 256}) {}

  /// The answer to a question about an image, printed as it comes if wanted.
  std::string answer(const io::Pixels& pixels, const std::string& question, bool print = false) {
    session_.reset();
    auto now = Clock::now();
    const auto lap = [&] {
      const auto before = std::exchange(now, Clock::now());
      return std::chrono::duration<double>(now - before).count();
    };
    session_.encode(pixels.values);
    times.vision += lap();
    const std::string prompt = folder_.format(std::vector{io::Turn{"user", folder_.with_images(question, 1)}});
    const std::vector<int> ids = folder_.prompt_ids(prompt, 1, model_.image_tokens());
    const auto logits = session_.prefill(ids);
    times.prefill += lap();
    hub::AnswerStream stream(folder_.tokenizer);
    std::string text;
    const auto take = [&](const std::string& piece) {
      if (print) std::printf("%s", piece.c_str()), std::fflush(stdout);
      text += piece;
    };
    const GenerateOptions options{.max_new = 60, .end_ids = folder_.generation.eos};
    const std::vector<int> reply = generate(session_, logits, ids, options, [&](int id) {
      take(stream.push(id));
      return true;
    });
    take(stream.finish());
    times.decode += lap();
    times.images += 1;
    times.tokens += static_cast<int>(ids.size());
    times.new_tokens += static_cast<int>(reply.size());
    return text;
  }

  io::Pixels pixels(const io::Image& image) const { return folder_.processor.preprocess(image); }

  Times times;

 private:
  hub::LlavaFolder folder_;
  ops::Native ops_;
  WeightStore store_;
  Llava15<> model_;
  Session<Llava15<>, ops::Native> session_;
};

/// Draws an image with half-block characters, on a terminal only.
void show(const io::Image& image, int columns) {
  if (isatty(STDOUT_FILENO) == 0) return;
  const io::Image small = io::resize(image, columns, columns * image.height / image.width / 2 * 2, io::Resample::box);
  for (int y = 0; y + 1 < small.height; y += 2) {
    for (int x = 0; x < small.width; ++x) {
      const std::uint8_t *top = small.row(y) + 3 * x, *low = small.row(y + 1) + 3 * x;
      std::printf("\033[38;2;%d;%d;%dm\033[48;2;%d;%d;%dm\u2580", top[0], top[1], top[2], low[0], low[1], low[2]);
    }
    std::printf("\033[0m\n");
  }
}

scenes::DatasetOptions questions(std::vector<scenes::Task> tasks, int min_objects, int max_objects) {
  scenes::DatasetOptions options;
  options.scene.seed = exam_seed;
  options.scene.split = scenes::Split::test;
  options.scene.min_objects = min_objects;
  options.scene.max_objects = max_objects;
  options.tasks_per_scene = static_cast<int>(tasks.size());
  options.tasks = std::move(tasks);
  return options;
}

void show_scenes(Answerer& model) {
  const auto options =
      questions({scenes::Task::caption, scenes::Task::attribute, scenes::Task::existence, scenes::Task::size}, 1, 2);
  for (const scenes::Sample& sample : scenes::make_samples(options, 900000, 3)) {
    const io::Image image = scenes::render(sample.scene);
    std::printf("\nscene %llu\n", static_cast<unsigned long long>(sample.index));
    show(image, 42);
    for (const scenes::Turn& turn : sample.turns) {
      std::printf("  Q: %s\n  A: ", turn.question.c_str());
      const std::string answer = model.answer(model.pixels(image), turn.question, true);
      std::printf("\n  %s truth: %s\n", answer == turn.answer ? "=" : "x", turn.answer.c_str());
    }
  }
}

/// Share of right answers, with the picture and with plain grey in its place.
struct Score {
  int asked = 0, right = 0, right_blind = 0;
};

Score examine(Answerer& model, scenes::Task task, int objects, std::size_t count) {
  Score score;
  io::Pixels grey = model.pixels({1, 1, {122, 116, 104}});
  scenes::for_each_sample(questions({task}, objects, objects), 1000000, count, [&](const scenes::Sample& sample) {
    const scenes::Turn& turn = sample.turns.front();
    ++score.asked;
    score.right += model.answer(model.pixels(scenes::render(sample.scene)), turn.question) == turn.answer;
    score.right_blind += model.answer(grey, turn.question) == turn.answer;
  });
  return score;
}

void hold_exam(Answerer& model) {
  std::printf(
      "\nRight answers about %d fresh scenes for each task (in brackets: the same questions with a grey picture)\n",
      exam_scenes);
  std::printf("%-12s %16s %16s %16s\n", "", "1 object", "2 objects", "3 objects");
  for (const scenes::Task task : exam_tasks) {
    const bool one_object_is_enough = task != scenes::Task::relation;
    const std::size_t scenes_of_each = exam_scenes / (one_object_is_enough ? 3 : 2) + 1;
    std::printf("%-12s", std::string(scenes::name_of(task)).c_str());
    for (const int objects : {1, 2, 3}) {
      if (objects == 1 && !one_object_is_enough) {
        std::printf(" %16s", "-");
        continue;
      }
      const Score score = examine(model, task, objects, scenes_of_each);
      std::printf("   %5.1f %% (%4.1f)", 100.0 * score.right / score.asked, 100.0 * score.right_blind / score.asked);
      std::fflush(stdout);
    }
    std::printf("\n");
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) fail("usage: scenes_demo MODEL_FOLDER");
  const auto start = Clock::now();
  Answerer model(argv[1]);
  std::printf("loaded %s in %.2f s\n", argv[1], std::chrono::duration<double>(Clock::now() - start).count());
  show_scenes(model);
  hold_exam(model);
  const Times& t = model.times;
  std::printf(
      "\n%d questions: vision %.1f s (%.2f ms an image), prefill %.1f s (%.0f tokens/s), decode %.1f s (%.0f "
      "tokens/s)\n",
      t.images, t.vision, 1e3 * t.vision / t.images, t.prefill, t.tokens / t.prefill, t.decode,
      t.new_tokens / t.decode);
} catch (const std::exception& error) {
  std::fprintf(stderr, "scenes_demo: %s\n", error.what());
  return 1;
}

// The demo model looks at pictures it has never seen: a few scenes with questions, answers and truth, then an exam of
// 200 scenes. Usage: scenes_demo MODEL_FOLDER

#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include <unistd.h>

#include "demo/answerer.hpp"

using namespace tessera;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::size_t exam_scenes = 200;

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

void print(const std::string& piece) {
  std::printf("%s", piece.c_str());
  std::fflush(stdout);
}

void show_scenes(demo::Answerer<>& model) {
  scenes::DatasetOptions options = demo::Exam{}.options();
  options.scene.max_objects = 2;
  options.tasks = {scenes::Task::caption, scenes::Task::attribute, scenes::Task::existence, scenes::Task::size};
  options.tasks_per_scene = static_cast<int>(options.tasks.size());
  for (const scenes::Sample& sample : scenes::make_samples(options, 900000, 3)) {
    const io::Image image = scenes::render(sample.scene);
    std::printf("\nscene %llu\n", static_cast<unsigned long long>(sample.index));
    show(image, 42);
    const io::Pixels pixels = model.pixels(image);
    for (const scenes::Turn& turn : sample.turns) {
      std::printf("  Q: %s\n  A: ", turn.question.c_str());
      const std::string answer = model.answer(pixels, {{"user", turn.question}}, print);
      std::printf("\n  %s truth: %s\n", answer == turn.answer ? "=" : "x", turn.answer.c_str());
    }
  }
}

void hold_exam(demo::Answerer<>& model) {
  using enum scenes::Task;
  const scenes::BestGuess guess;
  std::printf(
      "\nRight answers about %zu fresh scenes for each task (in brackets: the best guess without the picture)\n",
      exam_scenes);
  std::printf("%-12s %16s %16s %16s\n", "", "1 object", "2 objects", "3 objects");
  for (const scenes::Task task : {attribute, existence, size, count, relation}) {
    std::printf("%-12s", std::string(scenes::name_of(task)).c_str());
    for (const int objects : {1, 2, 3}) {
      demo::Exam exam{.task = task, .objects = objects};
      exam.scenes = exam_scenes / (task == relation ? 2 : 3) + 1;
      if (!exam.exists()) {
        std::printf(" %16s", "-");
        continue;
      }
      const demo::Score score = demo::examine(model, guess, exam);
      std::printf("   %5.1f %% (%4.1f)", 100 * score.share(), 100 * score.guessed_share());
      std::fflush(stdout);
    }
    std::printf("\n");
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) fail("usage: scenes_demo MODEL_FOLDER");
  const auto start = Clock::now();
  const demo::Pretrained pretrained(argv[1]);
  demo::Answerer model(pretrained.folder, pretrained.model, pretrained.ops);
  std::printf("loaded %s in %.2f s\n", argv[1], std::chrono::duration<double>(Clock::now() - start).count());
  show_scenes(model);
  hold_exam(model);
  const demo::Times& t = model.times;
  std::printf(
      "\n%d questions: vision %.1f s (%.2f ms an image), prefill %.1f s (%.0f tokens/s), decode %.1f s (%.0f "
      "tokens/s)\n",
      t.images, t.vision, 1e3 * t.vision / t.images, t.prefill, t.tokens / t.prefill, t.decode,
      t.new_tokens / t.decode);
} catch (const std::exception& error) {
  std::fprintf(stderr, "scenes_demo: %s\n", error.what());
  return 1;
}

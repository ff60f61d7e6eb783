// What the demo model has learnt: accuracy by task and number of objects beside the text-only baseline, which answers
// are mistaken for which, and the losses of its training. Usage: demo_report MODEL_FOLDER WORK_FOLDER [SCENES]
//
// WORK_FOLDER has the logs (*.jsonl) of examples/train_demo.sh and gets accuracy.md, confusion.png and losses.png.

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tessera/io/atomic_file.hpp"
#include "tessera/io/plot.hpp"
#include "tessera/io/png.hpp"

#include "demo/answerer.hpp"

using namespace tessera;

namespace {

/// How often which shape or colour was answered where which was true.
class Confusion {
 public:
  Confusion() : counts_(words_.size() * (words_.size() + 1), 0) {}

  void add(const std::string& truth, const std::string& answer) {
    counts_[index(truth) * (words_.size() + 1) + index(answer)] += 1;
  }
  io::Image picture() const {
    std::vector<std::string> columns = words_;
    columns.push_back("other");
    return io::draw(io::HeatMap{.title = "Shapes and colours: scenes of 2 and 3 objects",
                                .row_label = "truth",
                                .column_label = "answer",
                                .rows = words_,
                                .columns = columns,
                                .values = counts_});
  }

 private:
  static std::vector<std::string> words() {
    std::vector<std::string> all(scenes::shape_names.begin(), scenes::shape_names.end());
    all.insert(all.end(), scenes::color_names.begin(), scenes::color_names.end());
    return all;
  }
  std::size_t index(const std::string& word) const {
    return static_cast<std::size_t>(std::find(words_.begin(), words_.end(), word) - words_.begin());
  }

  std::vector<std::string> words_ = words();
  std::vector<double> counts_;
};

std::string cell(demo::Answerer<>& model, const scenes::BestGuess& guess, const demo::Exam& exam,
                 Confusion& confusion) {
  if (!exam.exists()) return " – |";
  const bool counts = exam.task == scenes::Task::attribute && exam.objects > 1 && exam.split == scenes::Split::test;
  const demo::Score score = demo::examine(model, guess, exam, [&](const scenes::Turn& turn, const std::string& answer) {
    if (counts) confusion.add(turn.answer, answer);
  });
  char text[32];
  std::snprintf(text, sizeof text, " %.1f (%.1f) |", 100 * score.share(), 100 * score.guessed_share());
  return text;
}

std::string accuracy(demo::Answerer<>& model, std::size_t scenes_of_each, Confusion& confusion) {
  const scenes::BestGuess guess;
  std::string table = "| scenes | objects |", rule = "\n| --- | --- |";
  for (const auto task : scenes::task_names) table += " " + std::string(task) + " |", rule += " --- |";
  table += rule + "\n";
  std::printf("%s", table.c_str());
  for (const scenes::Split split : {scenes::Split::test, scenes::Split::holdout}) {
    for (const int objects : {1, 2, 3}) {
      std::string line = "| " + std::string(scenes::name_of(split)) + " | " + std::to_string(objects) + " |";
      for (std::size_t task = 0; task < scenes::task_names.size(); ++task)
        line += cell(model, guess, {split, static_cast<scenes::Task>(task), objects, scenes_of_each}, confusion);
      std::printf("%s\n", line.c_str());
      std::fflush(stdout);
      table += line + "\n";
    }
  }
  return table;
}

io::Curve losses(const std::filesystem::path& folder, const std::string& phase) {
  io::Curve curve{.name = phase, .x = {}, .y = {}};
  std::ifstream log(folder / (phase + ".jsonl"));
  for (std::string line; std::getline(log, line);) {
    const io::json entry = io::json::parse(line);
    curve.x.push_back(entry.at("step"));
    curve.y.push_back(entry.at("loss"));
  }
  return curve;
}

void write_losses(const std::filesystem::path& folder) {
  io::LineChart chart{
      .title = "The demo's training", .x_label = "step", .y_label = "loss", .log_y = true, .smoothing = 0.9};
  for (const char* phase : {"tower", "shapes", "language", "stage1", "stage2"}) {
    io::Curve curve = losses(folder, phase);
    if (!curve.x.empty()) chart.curves.push_back(std::move(curve));
  }
  if (!chart.curves.empty()) io::write_png(folder / "losses.png", io::draw(chart));
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3 || argc > 4) fail("usage: demo_report MODEL_FOLDER WORK_FOLDER [SCENES]");
  const std::filesystem::path folder = argv[2];
  const std::size_t scenes_of_each = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 150;
  if (scenes_of_each == 0) fail("SCENES: '", argv[3], "' found, expected a number");
  write_losses(folder);
  const demo::Pretrained pretrained(argv[1]);
  demo::Answerer model(pretrained.folder, pretrained.model, pretrained.ops);
  Confusion confusion;
  const std::string table = accuracy(model, scenes_of_each, confusion);
  io::AtomicFile file(folder / "accuracy.md");
  file.write(table);
  file.commit();
  io::write_png(folder / "confusion.png", confusion.picture());
} catch (const std::exception& error) {
  std::fprintf(stderr, "demo_report: %s\n", error.what());
  return 1;
}

#pragma once
// What a comparison of connectors measures and prints.

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "tessera/io/plot.hpp"
#include "tessera/io/png.hpp"

#include "demo/answerer.hpp"

namespace tessera::bakeoff {

struct Result {
  std::string name;
  int image_tokens = 0;  ///< rows of the language model for an image
  std::size_t parameters = 0;
  double step_flops = 0;            ///< of a training step; the tower has run before
  std::size_t workspace_bytes = 0;  ///< of a training step
  double step_seconds = 0;
  std::vector<double> losses = {};
  demo::Score score = {};

  /// The mean over the last tenth of the steps.
  double final_loss() const {
    const std::size_t count = (losses.size() + 9) / 10;
    return std::accumulate(losses.end() - static_cast<std::ptrdiff_t>(count), losses.end(), 0.0) /
           static_cast<double>(count);
  }
};

/// Asks for attributes, existence and count in `scenes` scenes of one object and as many of two, for each task.
template <class Model, class Ops>
demo::Score examine(const hub::LlavaFolder& folder, const Model& model, const Ops& ops, const scenes::BestGuess& guess,
                    std::size_t scenes) {
  using enum scenes::Task;
  demo::Answerer answerer(folder, model, ops);
  demo::Score all;
  for (const scenes::Task task : {attribute, existence, count}) {
    for (const int objects : {1, 2}) {
      const demo::Score score = demo::examine(answerer, guess, {.task = task, .objects = objects, .scenes = scenes});
      all.asked += score.asked;
      all.right += score.right;
      all.guessed += score.guessed;
    }
  }
  return all;
}

/// A table that grows by a line for each result, and a picture of all losses.
class Report {
 public:
  Report() {
    std::printf("%-20s %6s %10s %12s %10s %8s %8s %16s\n", "connector", "tokens", "parameters", "GFLOP / step",
                "memory", "step", "loss", "right (guess)");
  }

  void add(const Result& r) {
    std::printf("%-20s %6d %10zu %12.1f %6.0f MiB %5.0f ms %8.4f %7.1f %% (%4.1f)\n", r.name.c_str(), r.image_tokens,
                r.parameters, r.step_flops / 1e9, static_cast<double>(r.workspace_bytes) / (1 << 20),
                1e3 * r.step_seconds, r.final_loss(), 100 * r.score.share(), 100 * r.score.guessed_share());
    std::fflush(stdout);
    io::Curve& curve = chart_.curves.emplace_back(io::Curve{.name = r.name, .x = {}, .y = r.losses});
    curve.x.resize(r.losses.size());
    std::iota(curve.x.begin(), curve.x.end(), 0.0);
  }

  void write_curves(const std::filesystem::path& png) const { io::write_png(png, io::draw(chart_)); }

 private:
  io::LineChart chart_{.title = "Connectors", .x_label = "step", .y_label = "loss", .log_y = true, .smoothing = 0.9};
};

}  // namespace tessera::bakeoff

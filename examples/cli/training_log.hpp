#pragma once
// What a training run tells about its steps: JSON Lines, a line for people, a picture.

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "tessera/hub/llava_trainer.hpp"
#include "tessera/io/atomic_file.hpp"
#include "tessera/io/plot.hpp"
#include "tessera/io/png.hpp"

#include "cli/stopwatch.hpp"

namespace tessera::cli {

class TrainingLog {
 public:
  /// Keeps the lines of earlier steps of a resumed run, which the picture shows as well. Empty names: not wanted.
  TrainingLog(std::filesystem::path file, std::filesystem::path picture, std::int64_t first_step)
      : file_(std::move(file)), picture_(std::move(picture)) {
    if (file_.empty()) return;
    io::AtomicFile kept(file_);  // a kill loses none of the earlier lines
    kept.write(lines_before(first_step));
    kept.commit();
    stream_.open(file_, std::ios::app);
    if (!stream_) fail(file_.string(), ": cannot be written");
  }

  void add(const hub::TrainingReport& report) {
    seconds_ = watch_.lap();
    report_ = report;
    losses_.x.push_back(static_cast<double>(report.step));
    losses_.y.push_back(report.loss);
    if (file_.empty()) return;
    stream_ << io::json{{"step", report.step},
                        {"loss", report.loss},
                        {"lr", report.learning_rate},
                        {"grad_norm", report.gradient_norm},
                        {"tokens_per_s", tokens_per_second()}}
                   .dump()
            << std::endl;
    if (!stream_) fail(file_.string(), ": cannot be written");
  }

  /// Loss, learning rate, speed, time left.
  std::string summary(std::int64_t steps_left) const {
    char text[160];
    std::snprintf(text, sizeof text, "loss %.4f  lr %.2e  %.0f tokens/s  %.0f s left", report_.loss,
                  report_.learning_rate, tokens_per_second(), seconds_ * static_cast<double>(steps_left));
    return text;
  }
  std::string last_line() const {
    char text[160];
    std::snprintf(text, sizeof text, "step %lld: loss %.6f, gradient norm %.4f", static_cast<long long>(report_.step),
                  report_.loss, report_.gradient_norm);
    return text;
  }

  void plot(const std::string& title) const {
    if (picture_.empty() || losses_.x.empty()) return;
    io::write_png(picture_,
                  io::draw(io::LineChart{
                      .title = title, .x_label = "step", .y_label = "loss", .curves = {losses_}, .smoothing = 0.9}));
  }

 private:
  double tokens_per_second() const { return static_cast<double>(report_.tokens) / std::max(seconds_, 1e-9); }

  std::string lines_before(std::int64_t first_step) {
    std::string kept;
    std::ifstream old(file_);
    for (std::string line; first_step > 0 && std::getline(old, line);) {
      const io::json entry = io::json::parse(line, nullptr, false);
      if (!entry.is_object() || !entry.contains("step") || entry["step"] >= first_step) break;
      kept += line + "\n";
      losses_.x.push_back(entry["step"]);
      losses_.y.push_back(entry["loss"]);
    }
    return kept;
  }

  std::filesystem::path file_, picture_;
  std::ofstream stream_;
  Stopwatch watch_;
  double seconds_ = 0;
  hub::TrainingReport report_;
  io::Curve losses_{.name = "loss", .x = {}, .y = {}};
};

}  // namespace tessera::cli

#pragma once
// One phase of the demo's training: AdamW under LLaVA's schedule over whatever loss, with progress, and resumed after a
// kill.

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tessera/hub/training_files.hpp"
#include "tessera/io/prefetch.hpp"
#include "tessera/ops/native_training.hpp"
#include "tessera/train/adamw.hpp"
#include "tessera/train/schedule.hpp"

#include "cli/progress.hpp"
#include "cli/training_log.hpp"

namespace tessera::demo {

struct PhaseOptions {
  std::string name;
  std::filesystem::path folder;  ///< gets state, log and loss curve of the phase
  std::int64_t steps = 0;
  double learning_rate = 1.5e-3;
  int threads = default_threads();
};

/// Trains all parameters of a model. What the loss does not touch has gradients of 0 and stays as it is.
template <class Model>
class Phase {
 public:
  using Ops = ops::NativeTraining;
  using Ctx = TrainingContext<Ops>;

  Phase(const Model& model, PhaseOptions options)
      : options_(std::move(options)),
        schedule_{.peak = options_.learning_rate, .total_steps = options_.steps},
        gradients_(model),
        optimizer_(parameters(model), {.beta2 = 0.98}) {}

  /// Runs the steps that are not done yet. `make(step)` prepares a batch, ahead and on another thread;
  /// `loss(context, batch)` runs it forward and backward. Both depend on nothing but their arguments, so that a resumed
  /// run ends with the same bytes.
  template <class Make, class Loss>
  void run(Make&& make, Loss&& loss) {
    io::remove_abandoned_files(options_.folder);
    if (std::filesystem::exists(state_file())) hub::read_training_state(state_file(), optimizer_, description());
    const std::int64_t first = optimizer_.steps();
    cli::TrainingLog log(file(".jsonl"), file(".png"), first);
    cli::ProgressBar bar(options_.name, true);
    using Batch = decltype(make(first));
    io::Prefetcher<Batch> batches(static_cast<std::size_t>(options_.steps - first), 1, 4,
                                  [&](std::size_t i) { return make(first + static_cast<std::int64_t>(i)); });
    while (optimizer_.steps() < options_.steps) {
      const Batch batch = *batches.next();
      log.add(advance(batch, loss));
      bar.update(static_cast<std::uint64_t>(optimizer_.steps()), static_cast<std::uint64_t>(options_.steps),
                 log.summary(options_.steps - optimizer_.steps()));
      if (optimizer_.steps() % save_every == 0) save();
    }
    save();
    log.plot("Loss of " + options_.name);
  }

 private:
  static constexpr std::int64_t save_every = 100;

  std::vector<train::Parameter> parameters(const Model& model) const {
    std::vector<train::Parameter> list;
    for_each_param([&](const std::string& name, const auto& weight) { add_parameter(list, name, weight, gradients_); },
                   model);
    return list;
  }

  std::filesystem::path file(const char* ending) const { return options_.folder / (options_.name + ending); }
  std::filesystem::path state_file() const { return file(".safetensors"); }
  void save() const { hub::write_training_state(state_file(), optimizer_, description()); }

  /// All that makes another run of it.
  std::string description() const {
    std::ostringstream text;
    text << options_.name << " steps " << options_.steps << " rate " << options_.learning_rate;
    return text.str();
  }

  template <class Batch, class Loss>
  hub::TrainingReport advance(const Batch& batch, Loss& loss) {
    hub::TrainingReport report{.step = optimizer_.steps(), .tokens = batch.rows()};
    gradients_.zero();
    report.loss = run_pass(ops_, arena_, gradients_, options_.threads, [&](Ctx& c) { return loss(c, batch); });
    report.gradient_norm = optimizer_.gradient_norm();
    if (!std::isfinite(report.loss) || !std::isfinite(report.gradient_norm))
      fail(options_.name, ": step ", report.step, ": loss ", report.loss, ", gradient norm ", report.gradient_norm);
    report.learning_rate = schedule_.rate(report.step);
    optimizer_.step(report.learning_rate, report.gradient_norm, options_.threads);
    return report;
  }

  PhaseOptions options_;
  train::Schedule schedule_;
  Ops ops_;
  Gradients<float> gradients_;
  train::AdamW optimizer_;
  Arena arena_;
};

}  // namespace tessera::demo

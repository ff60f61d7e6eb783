// From an idea to a trained model. The idea is a connector of one's own, and it meets four published ones: the same
// tower and language model, the same conversations in the same order, the same seed. What differs is one template
// argument.
//
//     connector_bakeoff            # 400 steps each: about 10 minutes on two cores
//     connector_bakeoff --quick    # 20 steps each: under a minute on two cores, too few to rank them
//
// Tower and language model are the demo model's and stay frozen, as in LLaVA's first stage: a language model that
// trains makes up for a weak connector. Only the connector trains, from random weights. The language model has learnt
// to answer behind a 2-layer MLP, which may be an advantage for connectors that resemble one. Times aside, the same
// arguments print the same numbers, and write the same picture, every time.

#include <cmath>
#include <cstdio>
#include <filesystem>

#include <CLI/CLI.hpp>

#include "tessera/connect/concat.hpp"
#include "tessera/connect/projector.hpp"
#include "tessera/model/initialize.hpp"
#include "tessera/ops/counted.hpp"
#include "tessera/ops/native_training.hpp"
#include "tessera/testing/grad_check.hpp"
#include "tessera/train/adamw.hpp"
#include "tessera/train/schedule.hpp"
#include "tessera/train/step.hpp"

#include "bakeoff/report.hpp"
#include "bakeoff/talks.hpp"
#include "cli/progress.hpp"
#include "cli/stopwatch.hpp"

using namespace tessera;

namespace {

using Backend = ops::Counted<ops::NativeTraining>;

// What all connectors share.
struct Setup {
  const demo::Pretrained<Backend>& pretrained;
  const bakeoff::Talks& talks;
  const scenes::BestGuess& guess;
  int steps, batch;
  std::size_t exam_scenes;
};

// 1. The idea: a straight path beside LLaVA-1.5's MLP, as in a residual block. Both add to y, and both backward passes
// add to dx.
struct ResidualProjector {
  static constexpr dim in_width = dyn, out_width = dyn;
  LinearProjector<> straight;
  MLPProjector<2> mlp;

  ResidualProjector(int in, int out) : straight(in, out), mlp(in, out) {}
  int in() const { return mlp.in(); }
  int out() const { return mlp.out(); }
  int tokens(int vision_tokens) const { return vision_tokens; }

  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v("straight", l.straight...);
    v("mlp", l.mlp...);
  }
  template <Need N, class S>
  struct Saved {
    LinearProjector<>::Saved<N, S> straight;
    MLPProjector<2>::Saved<N, S> mlp;
  };
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, Saved<N, S>& saved) const {
    mlp.forward<N>(c, x, y, saved.mlp);
    straight.forward<N>(c, x, y, {.residual = y}, saved.straight);
  }
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx) const {
    mlp.backward<N>(c, saved.mlp, dy, dx);
    straight.backward<N>(c, saved.straight, dy, dx);
  }
};

// 2. Training.
template <class Model>
void train_connector(const Model& model, const Setup& setup, bakeoff::Result& result) {
  using Stage = train::Stage<train::Train<slot::Connector>, train::Freeze<slot::Vision, slot::Language>>;
  const Backend backend;
  Gradients<float> gradients(model.connector);
  train::AdamW optimizer(train::trained_parameters<Stage>(model, gradients), {});
  train::Step<Stage, Model, Backend> step(model, backend, gradients);
  const train::Schedule schedule{.peak = 2e-3, .total_steps = setup.steps};
  cli::ProgressBar bar(result.name, true);
  for (int i = 0; i < setup.steps; ++i) {
    const bakeoff::TalkBatch batch = setup.talks.batch(i, setup.batch, model.image_tokens());
    cli::Stopwatch watch;
    gradients.zero();
    const int labels = step.labels(batch);
    result.losses.push_back(step.forward_backward(batch, 1.0f / static_cast<float>(labels)) / labels);
    optimizer.step(schedule.rate(i), optimizer.gradient_norm());
    result.step_seconds += watch.lap() / setup.steps;
    bar.update(static_cast<std::uint64_t>(i + 1), static_cast<std::uint64_t>(setup.steps));
  }
  result.step_flops = static_cast<double>(backend.flops()) / setup.steps;
  result.workspace_bytes = step.workspace_bytes();
}

// 3. One entry of the comparison.
template <class ConnectorT>
bakeoff::Result try_out(const char* name, const Setup& setup) {
  const auto& [vision, unused, language, splice] = setup.pretrained.model;
  using Model = Vlm<ViT<>, ConnectorT, Llama<>, splice::AtImageToken>;
  Model model(vision, ConnectorT(vision.out(), language.width()), language, splice);
  WeightStore store;
  const auto deviation = [](int columns) { return 1 / std::sqrt(static_cast<float>(columns)); };
  initialize(model.connector, setup.pretrained.ops, store, /*seed=*/1, deviation);
  bakeoff::Result result{name, model.image_tokens(), count_params(model.connector)};
  train_connector(model, setup, result);
  result.score = bakeoff::examine(setup.pretrained.folder, model, setup.pretrained.ops, setup.guess, setup.exam_scenes);
  return result;
}

// 4. The comparison.
void compare(const Setup& setup, const std::filesystem::path& plot) {
  ResidualProjector small(5, 4);
  const testing::GradCheckReport check = testing::grad_check(small, {.in = 5});
  if (check.worst > 1e-7) fail("ResidualProjector: the gradient of ", check.where, " is off by ", check.worst);
  bakeoff::Report report;
  report.add(try_out<LinearProjector<>>("linear", setup));
  report.add(try_out<MLPProjector<2>>("2-layer MLP", setup));
  report.add(try_out<MLPProjector<3>>("3-layer MLP", setup));
  report.add(try_out<ConcatProjector<4>>("4 tokens, linear", setup));
  report.add(try_out<ResidualProjector>("linear + MLP (ours)", setup));
  report.write_curves(plot);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trains five connectors between the same tower and language model");
  std::filesystem::path model = "examples/models/llava15-scenes", plot = "connector_bakeoff.png";
  int steps = 400;
  std::size_t exam_scenes = 100;
  app.add_option("--model", model, "LLaVA folder with the tower and the language model")->capture_default_str();
  app.add_option("--plot", plot, "PNG file of the losses")->capture_default_str();
  CLI::Option* const steps_option =
      app.add_option("--steps", steps, "Training steps")->check(CLI::Range(1, 1000000))->capture_default_str();
  CLI::Option* const exam_option =
      app.add_option("--exam-scenes", exam_scenes, "Scenes of the exam for each task and number of objects")
          ->check(CLI::Range(1, 1000000))
          ->capture_default_str();
  bool quick = false;
  app.add_flag("--quick", quick, "As --steps 20 --exam-scenes 10")->excludes(steps_option, exam_option);
  CLI11_PARSE(app, argc, argv);
  try {
    if (quick) steps = 20, exam_scenes = 10;
    constexpr int batch = 32;
    const demo::Pretrained<Backend> pretrained(model);
    const int pool = (steps + 1) / 2 * batch;  // each scene comes twice
    const bakeoff::Talks talks(pretrained.folder, pretrained.model.vision, pool);
    const scenes::BestGuess guess;
    compare({pretrained, talks, guess, steps, batch, exam_scenes}, plot);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "connector_bakeoff: %s\n", error.what());
    return 1;
  }
}

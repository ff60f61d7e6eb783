// Steps of LLaVA's two stages (forward, backward, clipping, AdamW) with a frozen tower whose rows are cached: of_peak
// is the share of the FMA peak of the threads used, for the products that the mathematics needs; peak_bytes the most
// memory that the process ever had.

#include <algorithm>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include "tessera/language/presets.hpp"
#include "tessera/model/llava.hpp"
#include "tessera/ops/native_training.hpp"
#include "tessera/train/adamw.hpp"
#include "tessera/train/step.hpp"
#include "tessera/vision/presets.hpp"

#include "model/parts.hpp"

using namespace tessera;

namespace {

/// Conversations of one image and some text each, of which the last tokens are labelled.
struct Conversations {
  std::vector<int> ids, labels, ends;
  double pairs = 0;  // of a query and a key that it sees

  template <class Model>
  void add(const Model& model, int text, int labelled) {
    const int tokens = model.image_tokens() + text;
    ids.insert(ids.end(), static_cast<std::size_t>(model.image_tokens()), model.splice.image_token);
    for (int i = 0; i < text; ++i) ids.push_back(i % 500);
    labels.resize(ids.size() - static_cast<std::size_t>(labelled), ignored_label);
    labels.insert(labels.end(), ids.end() - labelled, ids.end());
    ends.push_back(static_cast<int>(ids.size()));
    pairs += 0.5 * tokens * (tokens + 1);
  }
};

/// Multiply-adds of a step. Attention's backward pass has five products where forward has two.
template <class StageT, class Model>
double multiply_adds(const Model& model, const Conversations& batch, int labels) {
  const auto& language = model.language;
  const double passes = 1 + StageT::language.dx + StageT::language.dw, tokens = static_cast<double>(batch.ids.size());
  const double image_rows = static_cast<double>(batch.ends.size()) * model.image_tokens();
  const double width = language.width(), inner = language.config.inner, vision = model.vision.out();
  return language.config.depth * (passes * tokens * (4 * width * width + 3 * width * inner) + 7 * batch.pairs * width) +
         passes * labels * width * language.vocab() + image_rows * (2 * vision * width + 3 * width * width);
}

template <class StageT, class Model>
void train_step(benchmark::State& state, Model model, const Conversations& batch) {
  const int threads = static_cast<int>(state.range(0)), images = static_cast<int>(batch.ends.size());
  ops::NativeTraining ops;
  WeightStore store;
  bench::fill(model.connector, ops, store);
  bench::fill(model.language, ops, store);
  Gradients<float> gradients = [&] {
    if constexpr (StageT::language.dw)
      return Gradients<float>(model.connector, model.language);
    else
      return Gradients<float>(model.connector);
  }();
  train::AdamW optimizer(train::trained_parameters<StageT>(model, gradients), {});
  train::Step<StageT, Model, ops::NativeTraining> step(model, ops, gradients, {}, threads);
  const std::vector<float> rows(static_cast<std::size_t>(images * model.vision.tokens() * model.vision.out()), 0.1f);
  const train::Batch<float> view{.ids = batch.ids,
                                 .labels = batch.labels,
                                 .ends = batch.ends,
                                 .images = images,
                                 .vision_rows = dense(rows.data(), images * model.vision.tokens(), model.vision.out())};
  const int labels = step.labels(view);
  bench::report_best(
      state, "of_peak", multiply_adds<StageT>(model, batch, labels),
      [&] {
        gradients.zero();
        benchmark::DoNotOptimize(step.forward_backward(view, 1.0f / static_cast<float>(labels)));
        optimizer.step(1e-5, optimizer.gradient_norm(), threads);
      },
      [&] { return bench::peak(threads); });
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  state.counters["peak_bytes"] = 1024.0 * static_cast<double>(usage.ru_maxrss);
}

/// The sizes of examples/models/llava15-scenes; 32 conversations of 96 to 126 tokens.
template <class StageT>
void demo(benchmark::State& state) {
  Llava15<> model{ViT<>({.image_size = 84, .patch_size = 14, .width = 128, .heads = 4, .depth = 5, .inner = 512}),
                  MLPProjector<2>(128, 160),
                  Llama<>({.vocab = 512, .width = 160, .inner = 432, .depth = 4, .heads = 5}),
                  splice::AtImageToken{510}};
  Conversations batch;
  for (int i = 0; i < 32; ++i) batch.add(model, 60 + 7 * i % 31, 24);
  train_step<StageT>(state, std::move(model), batch);
}

struct TwoBlocks : presets::Vicuna7B {
  static constexpr int depth = 2;
};

/// Two of the 32 blocks of LLaVA-1.5-7B; two conversations of 700 tokens.
template <class StageT>
void two_blocks_7b(benchmark::State& state) {
  using Model = Llava15<presets::ClipL14_336, TwoBlocks, f32>;
  Model model{ViT<presets::ClipL14_336, f32>(presets::ClipL14_336{}),
              MLPProjector<2, Gelu, 1024, 4096, f32>(1024, 4096), Llama<TwoBlocks, f32>(TwoBlocks{}),
              splice::AtImageToken{-200}};
  Conversations batch;
  for (int i = 0; i < 2; ++i) batch.add(model, 124, 100);
  train_step<StageT>(state, std::move(model), batch);
}

void register_steps(const char* name, void (*function)(benchmark::State&), int steps) {
  benchmark::RegisterBenchmark(name, function)
      ->Arg(1)
      ->Arg(2)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond)
      ->Iterations(steps);
}

const bool registered = [] {
  register_steps("demo_stage1", demo<train::llava_stage1>, 12);
  register_steps("demo_stage2", demo<train::llava_stage2>, 12);
  register_steps("7b_stage1", two_blocks_7b<train::llava_stage1>, 2);
  register_steps("7b_stage2", two_blocks_7b<train::llava_stage2>, 2);
  return true;
}();

}  // namespace

// Loss and gradients of whole models, in double, against numerical derivatives.
#include "tessera/train/step.hpp"

#include <algorithm>
#include <vector>

#include "tessera/ops/reference_training.hpp"
#include "tessera/testing/grad_check.hpp"

#include "../model/tiny_llava.hpp"
#include "catch.hpp"
#include "support/errors.hpp"
#include "support/pooled_projector.hpp"

using namespace tessera;
using namespace tessera::train;

namespace {

using Double = ops::ReferenceTraining<double>;

/// A LLaVA-1.5 small enough for numerical derivatives.
struct SmallLlava {
  Double ops;
  WeightStore store;
  Llava15<> model{ViT<>({.image_size = 14, .patch_size = 7, .width = 12, .heads = 2, .depth = 3, .inner = 20}),
                  MLPProjector<2>(12, 16),
                  Llama<>({.vocab = 50, .width = 16, .inner = 24, .depth = 2, .heads = 4, .kv_heads = 2}),
                  splice::AtImageToken{-200}};

  SmallLlava() { test::fill_randomly(model, ops, store); }
};

/// Two sequences with three images between them; a text-only one at the end.
struct TinyBatch {
  std::vector<int> ids, labels, ends;
  std::vector<float> pixels;

  explicit TinyBatch(const Llava15<>& model) {
    append(model, 2, {5, 9, 31});
    append(model, 1, {12});
    append(model, 0, {44, 45, 2});
    SplitMix64 random(3);
    for (std::size_t i = 0; i < 3 * model.vision.pixels(); ++i) pixels.push_back(static_cast<float>(normal(random)));
  }
  Batch<double> view(Mat<const double> vision_rows = {}) const {
    return {.ids = ids,
            .labels = labels,
            .ends = ends,
            .images = 3,
            .pixels = vision_rows.data == nullptr ? pixels.data() : nullptr,
            .vision_rows = vision_rows};
  }

 private:
  void append(const Llava15<>& model, int images, std::vector<int> answer) {
    ids.push_back(1);
    ids.insert(ids.end(), static_cast<std::size_t>(images * model.image_tokens()), model.splice.image_token);
    ids.push_back(17);
    labels.resize(ids.size(), ignored_label);
    ids.insert(ids.end(), answer.begin(), answer.end());
    labels.insert(labels.end(), answer.begin(), answer.end());
    ends.push_back(static_cast<int>(ids.size()));
  }
};

/// What the frozen tower makes of the batch's images.
std::vector<double> vision_rows(const SmallLlava& llava, const TinyBatch& batch) {
  const int rows = 3 * llava.model.vision.tokens();
  std::vector<double> result(static_cast<std::size_t>(rows * llava.model.vision.out()));
  const auto encode = [&](Context<Double>& c) {
    infer(llava.model.vision, c, batch.pixels.data(), 3, dense(result.data(), rows, llava.model.vision.out()));
  };
  Arena arena = plan_workspace(llava.ops, 1, encode);
  Context<Double> c(llava.ops, arena, 1);
  encode(c);
  return result;
}

/// Checks a few elements of every tensor that trains; returns the number of tensors.
template <class StageT>
int check_stage(typename StageT::Loss loss, bool tied = false) {
  SmallLlava llava;
  llava.model.language.config.tied_head = tied;
  own_trained_weights<StageT>(llava.model, llava.store);
  const TinyBatch batch(llava.model);
  const std::vector<double> hidden = vision_rows(llava, batch);
  const auto rows = dense<const double>(hidden.data(), 3 * llava.model.vision.tokens(), llava.model.vision.out());
  const Batch<double> view = batch.view(StageT::vision.any() ? Mat<const double>{} : rows);
  Gradients<double> gradients(llava.model);
  gradients.zero();
  Step<StageT, Llava15<>, Double> step(llava.model, llava.ops, gradients, loss, 1);
  REQUIRE(step.labels(view) == 7);
  const double value = step.forward_backward(view, 0.5f);
  CHECK(value == Approx(step.loss(view)).epsilon(1e-14));
  int tensors = 0;
  for_each_trained_param<StageT>(llava.model, [&](const std::string& name, auto& weight) {
    float* values = const_cast<float*>(static_cast<const float*>(weight.data()));
    const double* typed = gradients(weight).data;
    double largest = 1e-3, difference = 0;
    for (std::size_t i = 0; i < weight.size(); i += weight.size() / 6 + 1) {
      const double numerical = 0.5 * testing::detail::numerical_gradient(values[i], [&] { return step.loss(view); });
      largest = std::max(largest, std::abs(numerical));
      difference = testing::larger_error(difference, std::abs(numerical - typed[i]));
    }
    INFO(name);
    CHECK(difference < 1e-7 * largest);
    ++tensors;
  });
  return tensors;
}

}  // namespace

TEST_CASE("gradients of LLaVA's two stages are those of numerical differentiation") {
  CHECK(check_stage<llava_stage1>({}) == 4);
  CHECK(check_stage<llava_stage2>({.label_smoothing = 0.1f, .chunk_rows = 3}) == 4 + 1 + 2 * 9 + 1 + 1);
}

TEST_CASE("gradients through a tower that trains, and of a tied head") {
  using Everything = Stage<Train<slot::Vision, slot::Connector, slot::Language>, Freeze<>>;
  CHECK(check_stage<Everything>({}, true) == 5 + 2 * 16 + 4 + 1 + 2 * 9 + 1 + 1);
  using TowerAlone = Stage<Train<slot::Vision>, Freeze<slot::Connector, slot::Language>>;
  CHECK(check_stage<TowerAlone>({}) == 5 + 2 * 16);
}

TEST_CASE("a connector that mixes rows mixes those of one image only") {
  Double ops;
  WeightStore store;
  Vlm<ViT<>, test::PooledProjector, Llama<>, splice::AtImageToken> model{
      ViT<>({.image_size = 14, .patch_size = 7, .width = 12, .heads = 2, .depth = 1, .inner = 20}),
      test::PooledProjector(12, 16), Llama<>({.vocab = 50, .width = 16, .inner = 24, .depth = 1, .heads = 4}),
      splice::AtImageToken{-200}};
  test::fill_randomly(model, ops, store);
  Gradients<double> gradients(model);
  Step<llava_stage2, decltype(model), Double> step(model, ops, gradients, {}, 1);
  const std::vector<int> ids{1, -200, 5, 6, 1, -200, 7, 8}, labels{-100, -100, 5, 6, -100, -100, 7, 8}, ends{4, 8};
  SplitMix64 random(5);
  std::vector<double> rows(static_cast<std::size_t>(2 * model.vision.tokens() * model.vision.out()));
  for (double& value : rows) value = normal(random);
  const auto loss = [&](std::size_t first, std::size_t sequences) {
    const int tokens = model.vision.tokens(), width = model.vision.out(), images = static_cast<int>(sequences);
    return step.loss({.ids = std::span(ids).subspan(4 * first, 4 * sequences),
                      .labels = std::span(labels).subspan(4 * first, 4 * sequences),
                      .ends = std::span(ends).first(sequences),
                      .images = images,
                      .vision_rows = dense<const double>(rows.data(), 2 * tokens, width)
                                         .rows_at(static_cast<int>(first) * tokens, images * tokens)});
  };
  CHECK(loss(0, 2) == Approx(loss(0, 1) + loss(1, 1)).epsilon(1e-12));
}

TEST_CASE("a batch of text alone trains what has a part in it") {
  using Everything = Stage<Train<slot::Vision, slot::Connector, slot::Language>, Freeze<>>;
  SmallLlava llava;
  own_trained_weights<Everything>(llava.model, llava.store);
  Gradients<double> gradients(llava.model);
  Step<Everything, Llava15<>, Double> step(llava.model, llava.ops, gradients, {}, 1);
  const std::vector<int> ids{1, 44, 45, 2}, ends{4};
  const Batch<double> text{.ids = ids, .labels = ids, .ends = ends};
  CHECK(step.forward_backward(text, 1) == step.loss(text));
  const auto is_zero = [&](const auto& part) {
    bool zero = true;
    for_each_param(
        [&](const std::string&, const auto& weight) {
          const Mat<double> g = gradients(weight);
          zero = zero && std::all_of(g.data, g.data + weight.size(), [](double value) { return value == 0; });
        },
        part);
    return zero;
  };
  CHECK(is_zero(llava.model.vision));
  CHECK(is_zero(llava.model.connector));
  CHECK(!is_zero(llava.model.language));
}

TEST_CASE("a batch whose parts do not fit is refused") {
  SmallLlava llava;
  const TinyBatch batch(llava.model);
  const std::vector<double> hidden = vision_rows(llava, batch);
  const int tokens = llava.model.vision.tokens(), width = llava.model.vision.out();
  Gradients<double> gradients(llava.model);
  Step<llava_stage2, Llava15<>, Double> step(llava.model, llava.ops, gradients, {}, 1);
  const auto complaint = [&](auto&& change) {
    TinyBatch changed = batch;
    Batch<double> view = changed.view(dense<const double>(hidden.data(), 3 * tokens, width));
    change(changed, view);
    return test::error_message([&] { step.loss(view); });
  };
  CHECK(complaint([](TinyBatch&, Batch<double>&) {}).empty());
  CHECK(complaint([](TinyBatch& b, Batch<double>&) { b.labels.back() = 50; }).find("label 50 is outside the voc") == 0);
  CHECK(complaint([](TinyBatch& b, Batch<double>&) { b.labels.back() = -1; }).find("label -1 is outside the voc") == 0);
  CHECK(complaint([](TinyBatch& b, Batch<double>&) { b.ends.front() = 99; }).find("the ends of a batch's seq") == 0);
  CHECK(complaint([](TinyBatch& b, Batch<double>&) { b.ends.back() -= 1; }).find("the ends of a batch's seq") == 0);
  CHECK(complaint([](TinyBatch&, Batch<double>& v) { v.labels = v.labels.first(3); }).find("a batch has ") == 0);
  CHECK(complaint([](TinyBatch&, Batch<double>& v) { v.vision_rows = {}; }).find("a batch of 3 images has vis") == 0);
  CHECK(complaint([](TinyBatch& b, Batch<double>&) { b.ids[1] = 7; }).find("the prompt has ") == 0);
}

TEST_CASE("a stage asks for nothing below what trains") {
  static_assert(!llava_stage1::vision.any() && !llava_stage2::vision.any());
  static_assert(!llava_stage1::connector.dx && llava_stage1::connector.dw);
  static_assert(llava_stage1::language.dx && !llava_stage1::language.dw);
  static_assert(llava_stage2::language.dx && llava_stage2::language.dw);
  using HeadOnly = Stage<Train<slot::Language>, Freeze<slot::Vision, slot::Connector>>;
  static_assert(!HeadOnly::connector.any() && !HeadOnly::language.dx);
}

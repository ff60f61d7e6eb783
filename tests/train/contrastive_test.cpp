// CLIP's loss and its text model, in double, against numerical derivatives.
#include "tessera/train/contrastive.hpp"

#include <vector>

#include "tessera/core/gradients.hpp"
#include "tessera/core/weight_store.hpp"
#include "tessera/model/normal.hpp"
#include "tessera/ops/reference_training.hpp"
#include "tessera/testing/grad_check.hpp"
#include "tessera/vision/clip_text.hpp"

#include "catch.hpp"

using namespace tessera;
using testing::detail::numerical_gradient;

namespace {

constexpr int pairs = 4, width = 6;

std::vector<double> normal_numbers(std::size_t count, std::uint64_t seed) {
  SplitMix64 random(seed);
  std::vector<double> numbers(count);
  for (double& number : numbers) number = normal(random);
  return numbers;
}

struct Problem {
  std::vector<double> images = normal_numbers(pairs * width, 1), texts = normal_numbers(pairs * width, 2);
  std::vector<double> dimages = std::vector<double>(images.size()), dtexts = dimages;
  double log_scale = 0.7, dlog_scale = 0;
  Arena arena{1 << 16};

  double loss() {
    return train::Contrastive<double>::loss(
        arena, dense<const double>(images.data(), pairs, width), dense<const double>(texts.data(), pairs, width),
        log_scale, dense(dimages.data(), pairs, width), dense(dtexts.data(), pairs, width), dlog_scale);
  }
};

}  // namespace

TEST_CASE("the contrastive loss is that of CLIP") {
  Problem p;
  p.texts = p.images;
  p.log_scale = std::log(1000.0);
  CHECK(p.loss() < 1e-9);  // each finds itself
  p.log_scale = std::log(1e-9);
  CHECK(p.loss() == Approx(std::log(pairs)));  // all alike
}

TEST_CASE("the contrastive loss has the gradients of numerical differentiation") {
  Problem p, probe;
  p.loss();
  for (std::size_t i = 0; i < p.images.size(); ++i) {
    CHECK(p.dimages[i] == Approx(numerical_gradient(probe.images[i], [&] { return probe.loss(); })).margin(1e-10));
    CHECK(p.dtexts[i] == Approx(numerical_gradient(probe.texts[i], [&] { return probe.loss(); })).margin(1e-10));
  }
  CHECK(p.dlog_scale == Approx(numerical_gradient(probe.log_scale, [&] { return probe.loss(); })).margin(1e-10));
}

TEST_CASE("CLIP's text model has the gradients of numerical differentiation") {
  using Ops = ops::ReferenceTraining<double>;
  ClipText<> text({.vocab = 13, .positions = 7, .width = width, .heads = 2, .depth = 2, .inner = 9});
  WeightStore store;
  SplitMix64 random(3);
  for_each_param(
      [&](const std::string&, auto& weight) {
        float* values = reinterpret_cast<float*>(store.allocate(weight.bytes()));
        for (std::size_t i = 0; i < weight.size(); ++i) values[i] = 0.5f * static_cast<float>(normal(random));
        weight.attach(values);
      },
      text);
  const std::vector<int> ids{1, 4, 9, 1, 3, 1, 1, 12, 11, 10, 2};
  const int ends[] = {3, 5, 6, 11};
  const Sequences texts{std::span<const int>(ends)};
  const std::vector<double> dy = normal_numbers(pairs * width, 4);
  constexpr Need need{.dw = true};

  const Ops ops;
  const Gradients<double> gradients(text);
  ClipText<>::Saved<need, double> saved;
  std::vector<double> y(dy.size());
  const auto forward = [&](auto& c) { text.forward<need>(c, ids, texts, dense(y.data(), pairs, width), saved); };
  const auto both = [&](TrainingContext<Ops>& c) {
    const Arena::PassScope scope(c.arena);
    forward(c);
    text.backward<need>(c, saved, ids, texts, dense<const double>(dy.data(), pairs, width));
  };
  Arena counting;
  TrainingContext<Ops> plan(ops, counting, gradients, 1);
  both(plan);
  Arena arena(counting.peak());
  TrainingContext<Ops> c(ops, arena, gradients, 1);
  both(c);
  const auto loss = [&] {
    const Arena::PassScope scope(c.arena);
    forward(c);
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * dy[i];
    return sum;
  };
  for_each_param(
      [&](const std::string& name, auto& weight) {
        float* values = const_cast<float*>(static_cast<const float*>(weight.data()));
        INFO(name);
        for (std::size_t i = 0; i < weight.size(); i += 3)
          CHECK(gradients(weight).data[i] == Approx(numerical_gradient(values[i], loss)).margin(1e-9));
      },
      text);
}

// After the first step of its size a batch allocates nothing: not forward, not backward, not in the optimizer.

#include <vector>

#include "tessera/ops/native_training.hpp"
#include "tessera/testing/allocation_counter.hpp"
#include "tessera/train/adamw.hpp"
#include "tessera/train/step.hpp"

#include "../model/tiny_llava.hpp"
#include "catch.hpp"

using namespace tessera;

TEMPLATE_TEST_CASE("training allocates nothing in the steady state", "", train::llava_stage1, train::llava_stage2) {
  test::TinyLlava<ops::NativeTraining> tiny;
  train::own_trained_weights<TestType>(tiny.model, tiny.store);
  Gradients<float> gradients(tiny.model);
  train::AdamW optimizer(train::trained_parameters<TestType>(tiny.model, gradients), {});
  train::Step<TestType, Llava15<>, ops::NativeTraining> step(tiny.model, tiny.ops, gradients, {}, 2);

  std::vector<int> ids, ends;
  for (const int images : {1, 2, 0}) {
    const std::vector<int> prompt = tiny.prompt(images);
    ids.insert(ids.end(), prompt.begin(), prompt.end());
    ends.push_back(static_cast<int>(ids.size()));
  }
  std::vector<int> labels = ids;
  for (int& label : labels) label = label == tiny.model.splice.image_token ? ignored_label : label;
  const std::vector<float> pixels(3 * tiny.model.vision.pixels(), 0.25f);
  const train::Batch<float> batch{
      .ids = ids, .labels = labels, .ends = ends, .images = 3, .pixels = pixels.data(), .vision_rows = {}};

  const auto train = [&] {
    gradients.zero();
    step.forward_backward(batch, 0.1f);
    optimizer.step(1e-3, optimizer.gradient_norm(), 2);
  };
  CHECK(testing::count_allocations(train) > 0);  // the workspace; the thread pool starts here
  CHECK(testing::count_allocations(train) == 0);
}

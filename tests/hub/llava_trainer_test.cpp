// A run of LlavaTrainer in its steady state: threads of its own read ahead, and allocate what they read into, but the
// one that trains allocates nothing.

#include "tessera/hub/llava_trainer.hpp"

#include <cstddef>
#include <filesystem>
#include <vector>

#include "tessera/testing/allocation_counter.hpp"

#include "catch.hpp"
#include "support/temporary_folder.hpp"

using namespace tessera;

TEST_CASE("a step allocates nothing once its batches and images were there before") {
  const std::filesystem::path data = TESSERA_TEST_DATA;
  const test::TemporaryFolder out;
  hub::LlavaRecipe recipe;
  recipe.batch = 2, recipe.accumulate = 2;
  recipe.order = train::Order::given;
  const std::int64_t steps = 8;
  hub::LlavaTrainer<train::llava_stage1, Llava15<>> trainer({.model = data / "models/llava15_hub_f32/model",
                                                             .vision_tower = {},
                                                             .data = data / "training/stage1/data.json",
                                                             .images = data / "models/llava15_hub_f32_two_images",
                                                             .out = out.path,
                                                             .feature_cache = {}},
                                                            recipe, steps, 0, 2);
  REQUIRE(trainer.data().size() == 6);   // steps of four and two samples take turns
  std::vector<std::size_t> allocations;  // up to the end of each step
  allocations.reserve(steps);
  trainer.run({.gradients = {}, .step = [&](const hub::TrainingReport&) {
                 allocations.push_back(testing::heap_allocations_of_thread);
                 return true;
               }});
  REQUIRE(allocations.size() == steps);
  CHECK(allocations.front() > 0);
  for (std::size_t step = 4; step < steps; ++step) CHECK(allocations[step] == allocations[step - 1]);
}

// A published folder through every backend.

#include "support/backends.hpp"

#include <filesystem>
#include <vector>

#include "catch.hpp"
#include "hub/llava_cases.hpp"
#include "model/outputs.hpp"

using namespace tessera;

TEST_CASE("every backend computes the logits of transformers from a published folder") {
  const test::LlavaCase c(std::filesystem::path(TESSERA_TEST_DATA) / "models/llava15_hub_f32");
  const auto config = hub::read_llava_config(c.model());
  const std::vector<float> pixels = c.tensor<float>("pixel_values");
  const std::vector<int> ids = c.ids("input_ids");
  test::for_every_backend([&]<class OpsT>(OpsT backend) {
    WeightStore store;
    const auto model = hub::load_llava<Llava15<>>(c.model(), config, hub::SlotFormats{}, backend, store);
    const auto actual = test::outputs(backend, model, pixels, ids, 2, 16);
    const double bound = test::rounding_bound(model);
    INFO(OpsT::name);
    CHECK(test::relative_error(actual.hidden, c.tensor<float>("vision_hidden")) <= bound);
    CHECK(test::relative_error(actual.features, c.tensor<float>("image_features")) <= bound);
    CHECK(test::relative_error(actual.logits, c.tensor<float>("logits")) <= bound);
  });
}

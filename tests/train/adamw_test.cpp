// What AdamW refuses. Its steps: kernel/optimizer_test.cpp and hub/training_fidelity_test.cpp.

#include "tessera/train/adamw.hpp"

#include <limits>

#include "catch.hpp"
#include "support/errors.hpp"

using namespace tessera::train;

TEST_CASE("options that make no step are refused") {
  const auto complaint = [](AdamWOptions options) { return tessera::test::error_message([&] { AdamW({}, options); }); };
  CHECK(complaint({}).empty());
  CHECK(complaint({.weight_decay = 0.1, .clip = 0}).empty());
  CHECK(complaint({.beta1 = 1}).find("AdamW: betas of 1 and 0.999") == 0);
  CHECK(complaint({.beta2 = -0.1}).find("AdamW: betas of 0.9 and -0.1") == 0);
  CHECK(complaint({.epsilon = 0}).find("AdamW: epsilon 0") == 0);
  CHECK(complaint({.weight_decay = std::numeric_limits<double>::quiet_NaN()}).find("AdamW: epsilon") == 0);
  CHECK(complaint({.clip = -1}).find("AdamW: epsilon") == 0);
}

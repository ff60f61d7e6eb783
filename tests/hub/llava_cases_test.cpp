// The golden tests are as good as what they measure with.

#include "hub/llava_cases.hpp"

#include <limits>
#include <vector>

#include "catch.hpp"

using namespace tessera;

TEST_CASE("a relative error is that of the largest reference, and infinite for what cannot be compared") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  const auto error = [](std::vector<float> a, std::vector<float> b) { return test::relative_max_error(a, b); };
  CHECK(error({1, 2, 4}, {1, 2, 4}) == 0);
  CHECK(error({1, 2.5f, 4}, {1, 2, -8}) == 12.0 / 8);
  CHECK(error({0.5f}, {0}) == 0.5);
  CHECK(error({}, {}) == 0);
  CHECK(error({1}, {1, 2}) == infinity);
  CHECK(error({nan, nan}, {1, 2}) == infinity);
  CHECK(error({1, nan}, {1, 2}) == infinity);
  CHECK(error({nan, 1}, {1, 2}) == infinity);
  CHECK(error({1, 2}, {1, nan}) == infinity);
  CHECK(error({nan}, {nan}) == infinity);
  CHECK(error({infinity}, {infinity}) == infinity);
}

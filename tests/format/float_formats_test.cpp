#include "tessera/format/float_formats.hpp"

#include <cmath>
#include <cstdint>
#include <limits>

#include "catch.hpp"

using namespace tessera;

namespace {

/// The neighbour of `v` in a 16-bit format that is nearest to it, ties to even, found by looking at all of them.
template <class Format>
std::uint16_t nearest(float v) {
  std::uint16_t best = 0;
  double best_distance = std::numeric_limits<double>::infinity();
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const float candidate = Format::decode(static_cast<std::uint16_t>(i));
    if (!std::isfinite(candidate) || std::signbit(candidate) != std::signbit(v)) continue;
    const double distance = std::fabs(static_cast<double>(candidate) - v);
    if (distance < best_distance || (distance == best_distance && i % 2 == 0)) {
      best = static_cast<std::uint16_t>(i);
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace

TEMPLATE_TEST_CASE("every 16-bit number survives decoding and encoding", "", bf16, f16) {
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const float value = TestType::decode(static_cast<std::uint16_t>(i));
    if (std::isnan(value)) {
      CHECK(std::isnan(TestType::decode(TestType::encode(value))));
    } else {
      REQUIRE(TestType::encode(value) == i);
    }
  }
}

TEMPLATE_TEST_CASE("encoding rounds to the nearest number, ties to even", "", bf16, f16) {
  for (const float v : {1.0f, -1.0f, 0.1f, 3.14159f, 65503.9f, 1.00048828125f, 1.00146484375f, 6.1e-5f, 5.9604645e-8f,
                        2.9802322e-8f, 8.9406967e-8f, -1e-7f, 1234.5678f, -0.0f}) {
    CHECK(TestType::encode(v) == nearest<TestType>(v));
  }
}

TEST_CASE("f16 overflows to infinity where IEEE says, bf16 keeps the range of float") {
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(f16::decode(f16::encode(65519.99f)) == 65504.0f);
  CHECK(f16::decode(f16::encode(65520.0f)) == infinity);
  CHECK(f16::decode(f16::encode(-1e30f)) == -infinity);
  CHECK(std::isfinite(bf16::decode(bf16::encode(3.38e38f))));
  CHECK(bf16::decode(bf16::encode(infinity)) == infinity);
}

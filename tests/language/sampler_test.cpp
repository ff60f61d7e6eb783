#include "tessera/language/sampler.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "catch.hpp"

using namespace tessera;

namespace {

// Probabilities 0.5, 0.25, 0.15, 0.07, 0.03 at temperature 1.
const std::array<float, 5> logits{std::log(0.25f), std::log(0.5f), std::log(0.07f), std::log(0.15f), std::log(0.03f)};

std::map<int, double> shares(SamplerOptions options, int draws = 40000) {
  Sampler sampler(options, 5);
  std::map<int, double> counts;
  for (int i = 0; i < draws; ++i) counts[sampler.next(std::span<const float>(logits))] += 1.0 / draws;
  return counts;
}

}  // namespace

TEST_CASE("temperature 0 takes the most likely token, the first of equals") {
  Sampler greedy({}, 5);
  CHECK(greedy.next(std::span<const float>(logits)) == 1);
  const std::array<float, 3> equal{1, 2, 2};
  CHECK(Sampler({}, 3).next(std::span<const float>(equal)) == 1);
}

TEST_CASE("draws follow the softmax and are reproducible") {
  const auto plain = shares({.temperature = 1, .seed = 5});
  CHECK(plain.at(1) == Approx(0.5).margin(0.01));
  CHECK(plain.at(0) == Approx(0.25).margin(0.01));
  CHECK(plain.at(4) == Approx(0.03).margin(0.005));
  CHECK(plain == shares({.temperature = 1, .seed = 5}));
  CHECK(plain != shares({.temperature = 1, .seed = 6}));
  // temperature 2 flattens: p ∝ sqrt
  const double total = std::sqrt(.5) + std::sqrt(.25) + std::sqrt(.15) + std::sqrt(.07) + std::sqrt(.03);
  CHECK(shares({.temperature = 2}).at(1) == Approx(std::sqrt(.5) / total).margin(0.01));
}

TEST_CASE("top-k, top-p and min-p cut the tail as transformers does") {
  const auto kept = [](SamplerOptions options) {
    options.temperature = 1;
    std::string ids;
    for (const auto& [id, share] : shares(options, 4000)) ids += std::to_string(id);
    return ids;
  };
  CHECK(kept({.top_k = 2}) == "01");
  CHECK(kept({.top_p = 0.5f}) == "1");
  CHECK(kept({.top_p = 0.51f}) == "01");
  CHECK(kept({.top_p = 0.9f}) == "013");
  CHECK(kept({.min_p = 0.29f}) == "013");  // at least 0.145
  CHECK(kept({.min_p = 1.0f}) == "1");
}

TEST_CASE("the repetition penalty divides positive and multiplies negative logits of tokens seen") {
  const std::array<float, 3> scores{2.0f, 1.9f, -1.0f};
  Sampler sampler({.repetition_penalty = 1.5f}, 3);
  CHECK(sampler.next(std::span<const float>(scores)) == 0);
  CHECK(sampler.next(std::span<const float>(scores)) == 1);  // 2.0 / 1.5 < 1.9
  CHECK(sampler.next(std::span<const float>(scores)) == 0);  // 1.33 > 1.27
  Sampler prompted({.repetition_penalty = 1.5f}, 3);
  const std::array<int, 2> prompt{0, -200};
  prompted.observe(prompt);
  CHECK(prompted.next(std::span<const float>(scores)) == 1);
}

TEST_CASE("draws are those of SplitMix64") {
  // Of 1000 equal logits the draw u takes number ⌊1000 u⌋. The published first numbers of seed 1234567, over 2⁶⁴:
  // 6457827717110365317 and 3203168211198807973.
  Sampler sampler({.temperature = 1, .seed = 1234567}, 1000);
  const std::vector<float> equal(1000, 0.5f);
  CHECK(sampler.next(std::span<const float>(equal)) == 350);
  CHECK(sampler.next(std::span<const float>(equal)) == 173);
}

TEST_CASE("logits that are not numbers are refused, impossible tokens are not drawn") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  for (const float temperature : {0.0f, 1.0f}) {
    const auto next = [&](std::vector<float> scores) {
      return Sampler({.temperature = temperature}, static_cast<int>(scores.size()))
          .next(std::span<const float>(scores));
    };
    CHECK_THROWS_WITH(next({1, nan, 2}), test::contains("the logits are not numbers"));
    CHECK_THROWS_AS(next({nan, nan}), Error);
    CHECK_THROWS_AS(next({1, infinity}), Error);
    CHECK_THROWS_AS(next({-infinity, -infinity}), Error);
    CHECK(next({-infinity, 3, -infinity}) == 1);
    CHECK_THROWS_AS(next(std::vector<float>(5000, nan)), Error);  // sorting these is where memory would be overrun
  }
}

TEST_CASE("options out of range are refused") {
  CHECK_THROWS_AS(Sampler({.temperature = -1}, 5), Error);
  CHECK_THROWS_AS(Sampler({.top_p = 0}, 5), Error);
  CHECK_THROWS_AS(Sampler({.repetition_penalty = 0}, 5), Error);
  CHECK_THROWS_AS(Sampler({.temperature = NAN}, 5), Error);
}

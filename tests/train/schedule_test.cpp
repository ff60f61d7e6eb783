#include "tessera/train/schedule.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "tessera/io/json.hpp"

#include "catch.hpp"

using namespace tessera::train;
using tessera::io::json;
using tessera::test::contains;

namespace {

Schedule schedule_of(const json& one) {
  const auto name = std::ranges::find(decay_names, one["decay"].get<std::string>());
  REQUIRE(name != decay_names.end());
  return {static_cast<Decay>(name - decay_names.begin()), one["peak"].get<double>(),
          one["total_steps"].get<std::int64_t>(), one["warmup_ratio"].get<double>()};
}

}  // namespace

TEST_CASE("Learning rates are those of transformers", "[schedule]") {
  const std::filesystem::path data(TESSERA_TEST_DATA);
  const json cases = tessera::io::read_json_file(data / "training" / "schedules.json");
  REQUIRE(cases.size() == 18);
  for (const json& one : cases) {
    const Schedule schedule = schedule_of(one);
    CAPTURE(one["decay"].get<std::string>(), schedule.total_steps, schedule.warmup_ratio);
    CHECK(schedule.warmup_steps() == one["warmup_steps"].get<std::int64_t>());
    CHECK_NOTHROW(validate(schedule));
    const double rounding = 4e-16 * schedule.peak;  // of one cosine
    for (std::size_t step = 0; step < one["rates"].size(); ++step) {
      CAPTURE(step);
      CHECK(schedule.rate(static_cast<std::int64_t>(step)) ==
            Approx(one["rates"][step].get<double>()).epsilon(0).margin(rounding));
    }
  }
}

TEST_CASE("A schedule's ends", "[schedule]") {
  const Schedule cosine{Decay::cosine, 1e-3, 100, 0.03};
  CHECK(cosine.rate(0) == 0);
  CHECK(cosine.rate(3) == 1e-3);
  CHECK(cosine.rate(100) == 0);
  CHECK(cosine.rate(250) == 0);  // does not rise again
  CHECK(Schedule{Decay::linear, 1e-3, 100, 0}.rate(0) == 1e-3);
  CHECK(Schedule{Decay::linear, 1e-3, 100, 0}.rate(250) == 0);
  CHECK(Schedule{Decay::constant, 1e-3, 100, 0.03}.rate(250) == 1e-3);
  CHECK(Schedule{Decay::cosine, 1e-3, 10, 1}.rate(9) == Approx(9e-4));
}

TEST_CASE("Schedules that make no sense are refused", "[schedule]") {
  CHECK_THROWS_WITH(validate({Decay::cosine, -1, 10, 0}), contains("-1") && contains("not negative"));
  CHECK_THROWS_WITH(validate({Decay::cosine, 1, 0, 0}), contains("0 steps"));
  CHECK_THROWS_WITH(validate({Decay::cosine, 1, 10, 1.5}), contains("1.5") && contains("0 to 1"));
}

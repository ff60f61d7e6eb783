// Beam searches of transformers, repeated.

#include "tessera/model/beam_search.hpp"

#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "tessera/model/generate.hpp"
#include "tessera/model/session.hpp"
#include "tessera/ops/native.hpp"

#include "catch.hpp"
#include "hub/llava_cases.hpp"

using namespace tessera;

TEST_CASE("beam search gives the reference's answers") {
  const std::filesystem::path data(TESSERA_TEST_DATA);
  const io::json rows = io::read_json_file(data / "beams.json");
  REQUIRE(rows.size() >= 15);
  for (const io::json& row : rows) {
    const test::LlavaCase c(data / "models" / row["case"].get<std::string>());
    const hub::LlavaFolder folder = c.open();
    ops::Native ops;
    WeightStore store;
    const auto model = hub::load_llava<Llava15<>>(c.model(), folder.config, hub::SlotFormats{}, ops, store);
    const std::vector<int> ids = c.ids("input_ids");
    const std::vector<float> pixels = c.tensor<float>("pixel_values");
    Session session(model, ops, {.images = pixels.empty() ? 0 : 1, .tokens = static_cast<int>(ids.size()) + 8});
    if (!pixels.empty()) session.encode(pixels);
    std::vector<int> expected = row["ids"];
    std::vector<int> answer = beam_search(session, session.prefill(ids), ids,
                                          {.beams = row["beams"],
                                           .max_new = row["max_new"],
                                           .length_penalty = row["length_penalty"],
                                           .repetition_penalty = row["repetition_penalty"],
                                           .end_ids = folder.generation.eos});
    INFO(row.dump());
    CHECK(answer == expected);
  }
}

namespace {

/// Gives the same logits whatever was said.
struct FixedSession {
  std::vector<float> logits;

  struct Forks {
    const FixedSession& session;
    void reorder(const std::vector<int>&) {}
    std::span<const float> step(int, int) { return session.logits; }
  };
  Forks fork(int) { return {*this}; }
  std::span<const float> step(int) { return logits; }
};

std::vector<int> search(std::vector<float> logits, const BeamOptions& options) {
  FixedSession session{std::move(logits)};
  return beam_search(session, std::span<const float>(session.logits), {}, options);
}

}  // namespace

TEST_CASE("a beam search refuses what it cannot rank") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  CHECK(search({0, 1, -infinity}, {.beams = 2, .max_new = 3}) == std::vector<int>{1, 1, 1});
  CHECK_THROWS_WITH(search({0, nan, 1}, {}), test::contains("the logits are not numbers"));
  CHECK_THROWS_AS(search({0, infinity, 1}, {}), Error);
  CHECK_THROWS_WITH(search({0, 1}, {.beams = 0}), "beam search: beams is 0, expected 1 to 1024");
  CHECK_THROWS_WITH(search({0, 1}, {.max_new = 0}), test::contains("beam search: max_new is 0"));
  CHECK_THROWS_WITH(search({0, 1}, {.length_penalty = nan}), test::contains("beam search: length_penalty is nan"));
}

TEST_CASE("an answer that is to have a negative length is refused") {
  FixedSession session{{0, 1}};
  const auto answer = [&](int max_new) {
    return generate(session, std::span<const float>(session.logits), {}, {.max_new = max_new},
                    [](int) { return true; });
  };
  CHECK_THROWS_WITH(answer(-1), test::contains("generate: max_new is -1, expected 0 to"));
  CHECK(answer(0).empty());
}

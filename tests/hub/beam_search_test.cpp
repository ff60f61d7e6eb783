// Beam searches of transformers, repeated.

#include "tessera/model/beam_search.hpp"

#include "catch.hpp"
#include "hub/llava_cases.hpp"
#include "tessera/model/session.hpp"
#include "tessera/ops/native.hpp"

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
    std::vector<int> answer = beam_search(session, session.prefill(ids),
                                          {.beams = row["beams"], .max_new = row["max_new"], .length_penalty = row["length_penalty"],
                                           .end_ids = folder.generation.eos});
    INFO(row.dump());
    CHECK(answer == expected);
  }
}

#include "tessera/hub/generation_config.hpp"

#include <fstream>
#include <vector>

#include "catch.hpp"
#include "support/temporary_folder.hpp"

using namespace tessera;
using test::contains;

namespace {

hub::GenerationConfig parse(const char* text) {
  return hub::parse_generation_config(io::parse_json(text, "g.json"), "g.json");
}

}  // namespace

TEST_CASE("without do_sample an answer is greedy, whatever else the file says") {
  const auto config = parse(R"({"temperature": 0.9, "top_p": 0.6, "top_k": 3})");
  CHECK(config.sampler.temperature == 0);
  CHECK(config.sampler.top_p == 1);
  CHECK(config.sampler.top_k == 0);
  CHECK(config.sampler.repetition_penalty == 1);
  CHECK(config.beams == 1);
  CHECK(config.length_penalty == 1);
  CHECK(config.eos.empty());
}

TEST_CASE("with do_sample the filters are the file's, else transformers' defaults") {
  const auto plain = parse(R"({"do_sample": true})").sampler;
  CHECK(plain.temperature == 1);
  CHECK(plain.top_k == 50);
  CHECK(plain.top_p == 1);
  CHECK(plain.min_p == 0);
  const auto given = parse(R"({"do_sample": true, "temperature": 0.25, "top_k": 0, "top_p": 0.5, "min_p": 0.125,
                              "repetition_penalty": 1.5})")
                         .sampler;
  CHECK(given.temperature == 0.25f);
  CHECK(given.top_k == 0);
  CHECK(given.top_p == 0.5f);
  CHECK(given.min_p == 0.125f);
  CHECK(given.repetition_penalty == 1.5f);
}

TEST_CASE("beams and end ids") {
  const auto config = parse(R"({"num_beams": 5, "length_penalty": 0.5, "eos_token_id": [2, 7]})");
  CHECK(config.beams == 5);
  CHECK(config.length_penalty == 0.5f);
  CHECK(config.eos == std::vector<int>{2, 7});
  CHECK(parse(R"({"eos_token_id": 3})").eos == std::vector<int>{3});
}

TEST_CASE("what makes no sense names the file and the field") {
  CHECK_THROWS_WITH(parse(R"({"num_beams": 0})"), "g.json: num_beams is 0, expected 1 to 64");
  CHECK_THROWS_WITH(parse(R"({"num_beams": 1000000})"), contains("g.json: num_beams is 1000000"));
  CHECK_THROWS_WITH(parse(R"({"do_sample": 1})"), contains("g.json: do_sample: ") && contains("true or false"));
  CHECK_THROWS_WITH(parse(R"({"do_sample": true, "top_k": 1.5})"), contains("g.json: top_k: "));
  CHECK_THROWS_WITH(parse(R"({"eos_token_id": "</s>"})"), contains("g.json: eos_token_id: "));
  CHECK_THROWS_WITH(parse("[]"), contains("g.json: expected a JSON object"));
}

TEST_CASE("end ids come from the first file that has them") {
  const test::TemporaryFolder folder;
  const auto write = [&](const char* name, const char* text) { std::ofstream(folder.path / name) << text; };
  const auto eos = [&] { return hub::read_generation_config(folder.path).eos; };
  CHECK_THROWS_WITH(eos(), contains("config.json: cannot be opened"));
  write("config.json", "{}");
  CHECK(eos() == std::vector<int>{2});
  write("config.json", R"({"text_config": {"eos_token_id": 5}})");
  CHECK(eos() == std::vector<int>{5});
  write("config.json", R"({"eos_token_id": [6], "text_config": {"eos_token_id": 5}})");
  CHECK(eos() == std::vector<int>{6});
  write("generation_config.json", R"({"eos_token_id": null, "num_beams": 3})");
  CHECK(eos() == std::vector<int>{6});
  CHECK(hub::read_generation_config(folder.path).beams == 3);
  write("generation_config.json", R"({"eos_token_id": 7})");
  CHECK(eos() == std::vector<int>{7});
  write("generation_config.json", "{");
  CHECK_THROWS_WITH(eos(), contains("generation_config.json: not valid JSON"));
}

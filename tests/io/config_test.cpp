#include "tessera/io/config.hpp"

#include <string>

#include "catch.hpp"
#include "tessera/language/llama.hpp"
#include "tessera/language/presets.hpp"

using namespace tessera;

namespace {

template <class Config>
std::string error_of(const char* text, Config config = {}) {
  try {
    io::read_config(io::parse_json(text, "c.json"), "c.json", config);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

struct HalfFixed : LlamaConfig {
  static constexpr int width = 2048;
};

}  // namespace

TEST_CASE("fields are read by their published names, absent and null ones keep their default") {
  LlamaConfig config;
  io::read_config(io::parse_json(R"({"hidden_size": 48, "num_key_value_heads": null, "hidden_act": "gelu", "unknown": 1,
                                     "rope_scaling": {"rope_type": "llama3", "factor": 8.0}, "rope_theta": 500000.0})", "c.json"),
                  "c.json", config);
  CHECK(config.width == 48);
  CHECK(config.kv_heads == 0);
  CHECK(config.act == Activation::gelu);
  CHECK(config.depth == 32);
  CHECK(config.rope.kind == RopeKind::llama3);
  CHECK(config.rope.factor == 8);
  CHECK(config.rope.theta == 500000);
}

TEST_CASE("a fixed field is compared with the file") {
  HalfFixed config;
  io::read_config(io::parse_json(R"({"hidden_size": 2048, "num_attention_heads": 16})", "c.json"), "c.json", config);
  CHECK(config.heads == 16);
  CHECK(error_of<HalfFixed>(R"({"hidden_size": 4096})") == "c.json: hidden_size: the file has 4096, the type fixes 2048");
  CHECK(error_of<presets::Llama7B>(R"({"hidden_size": 4096, "intermediate_size": 11008})").empty());
}

TEST_CASE("wrong types and unknown words name the field") {
  CHECK(error_of<LlamaConfig>(R"({"hidden_size": "big"})") == "c.json: hidden_size: '\"big\"' found, expected an integer");
  CHECK(error_of<LlamaConfig>(R"({"hidden_act": "swiglu9"})").find("hidden_act: unknown activation 'swiglu9'") != std::string::npos);
  CHECK(error_of<LlamaConfig>(R"({"rope_scaling": {"rope_type": "yarn"}})").find("rope_type: rope type 'yarn' is not supported") !=
        std::string::npos);
  CHECK(error_of<LlamaConfig>("[]") == "c.json: an object is expected here");
}

#include "tessera/io/config.hpp"

#include <string>

#include "tessera/language/llama.hpp"
#include "tessera/language/presets.hpp"
#include "tessera/vision/presets.hpp"

#include "catch.hpp"
#include "support/errors.hpp"

using namespace tessera;

namespace {

template <class Config>
std::string error_of(const char* text, Config config = {}) {
  return test::error_message([&] { io::read_config(io::parse_json(text, "c.json"), "c.json", config); });
}

struct HalfFixed : LlamaConfig {
  using Family = LlamaConfig;
  static constexpr int width = 2048;
};

}  // namespace

TEST_CASE("fields are read by their published names, absent and null ones keep their default") {
  LlamaConfig config;
  io::read_config(io::parse_json(R"({"hidden_size": 48, "num_key_value_heads": null, "hidden_act": "gelu", "unknown": 1,
                                     "rope_scaling": {"rope_type": "llama3", "factor": 8.0}, "rope_theta": 500000.0})",
                                 "c.json"),
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
  CHECK(error_of<HalfFixed>(R"({"hidden_size": 4096})") ==
        "c.json: hidden_size: the file has 4096, the type fixes 2048");
}

TEST_CASE("a fixed field is compared with the family's default where the file leaves it out") {
  // Vicuna 1.5's own config, which says what differs from transformers' defaults, and some more.
  const char* vicuna = R"({"hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 32, "rms_norm_eps": 1e-05, "max_position_embeddings": 4096,
    "rope_scaling": null, "vocab_size": 32000})";
  presets::Vicuna7B config;
  io::read_config(io::parse_json(vicuna, "c.json"), "c.json", config);
  CHECK(config.kv_heads == 32);
  CHECK(error_of<presets::Vicuna7B>(R"({"max_position_embeddings": 4096})") ==
        "c.json: rms_norm_eps: the file has none, which means 1e-06, the type fixes 1e-05");
  CHECK(error_of<presets::Vicuna7B>(R"({"max_position_embeddings": 4096, "rms_norm_eps": null})") ==
        "c.json: rms_norm_eps: the file has none, which means 1e-06, the type fixes 1e-05");
  CHECK(error_of<presets::Vicuna7B>(R"({"rms_norm_eps": 1e-05})") ==
        "c.json: max_position_embeddings: the file has none, which means 2048, the type fixes 4096");
  CHECK(error_of<presets::Vicuna7B>(
            R"({"rms_norm_eps": 1e-05, "max_position_embeddings": 4096, "hidden_act": "gelu"})") ==
        "c.json: hidden_act: the file has \"gelu\", the type fixes silu");
  CHECK(error_of<presets::Vicuna7B>(R"({"rms_norm_eps": 1e-05, "max_position_embeddings": 4096,
                                        "rope_scaling": {"type": "linear", "factor": 2}})")
            .find("rope_scaling: the file has {") != std::string::npos);
  CHECK(error_of<presets::ClipB32>("{}").empty());
  CHECK(error_of<presets::ClipL14>("{}") == "c.json: patch_size: the file has none, which means 32, the type fixes 14");
}

TEST_CASE("wrong types and unknown words name the field") {
  CHECK(error_of<LlamaConfig>(R"({"hidden_size": "big"})") ==
        "c.json: hidden_size: '\"big\"' found, expected an integer");
  CHECK(error_of<LlamaConfig>(R"({"hidden_act": "swiglu9"})").find("hidden_act: unknown activation 'swiglu9'") !=
        std::string::npos);
  CHECK(error_of<LlamaConfig>(R"({"rope_scaling": {"rope_type": "yarn"}})")
            .find("rope_type: rope type 'yarn' is not supported") != std::string::npos);
  CHECK(error_of<LlamaConfig>("[]") == "c.json: an object is expected here");
}

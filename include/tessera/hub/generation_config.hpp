#pragma once
/// generation_config.json: how a publisher wants its model to answer.

#include <filesystem>
#include <string>
#include <vector>

#include "tessera/io/json.hpp"
#include "tessera/language/sampler.hpp"

namespace tessera::hub {

struct GenerationConfig {
  SamplerOptions sampler;  ///< greedy unless the file says `do_sample`
  std::vector<int> eos;    ///< ids that end an answer
  int beams = 1;
  float length_penalty = 1;
};

/// Reads the content of a generation_config.json; `where` is the file's name for errors.
inline GenerationConfig parse_generation_config(const io::json& root, const std::string& where) {
  GenerationConfig config;
  config.sampler.repetition_penalty = io::value_or(root, "repetition_penalty", 1.0f, where);
  if (io::value_or(root, "do_sample", false, where)) {
    config.sampler.temperature = io::value_or(root, "temperature", 1.0f, where);
    config.sampler.top_k = io::value_or(root, "top_k", 50, where);  // transformers' own default
    config.sampler.top_p = io::value_or(root, "top_p", 1.0f, where);
    config.sampler.min_p = io::value_or(root, "min_p", 0.0f, where);
  }
  config.eos = io::int_or_list(root, "eos_token_id", where);
  config.beams = io::value_or(root, "num_beams", 1, where);
  check_range(where + ": num_beams", config.beams, 1, 64);
  config.length_penalty = io::value_or(root, "length_penalty", 1.0f, where);
  return config;
}

/// Reads generation_config.json where there is one. The end ids come from it, else from config.json (its top level,
/// then its `text_config`), else they are LLaMA's 2.
inline GenerationConfig read_generation_config(const std::filesystem::path& folder) {
  GenerationConfig config;
  if (const auto file = folder / "generation_config.json"; std::filesystem::exists(file)) {
    config = parse_generation_config(io::read_json_file(file), file.string());
  }
  const auto file = folder / "config.json";
  const io::json root = io::read_json_file(file);
  if (config.eos.empty()) config.eos = io::int_or_list(root, "eos_token_id", file.string());
  if (const auto text = root.find("text_config"); config.eos.empty() && text != root.end()) {
    config.eos = io::int_or_list(*text, "eos_token_id", file.string() + ": text_config");
  }
  if (config.eos.empty()) config.eos = {2};
  return config;
}

}  // namespace tessera::hub

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

namespace detail {

/// One integer or a list of them; empty if the field is absent or null.
inline std::vector<int> int_or_list(const io::json& object, std::string_view key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return {};
  const std::string place = where + ": " + std::string(key);
  if (found->is_array()) return io::json_as<std::vector<int>>(*found, place);
  return {io::json_as<int>(*found, place)};
}

inline SamplerOptions read_sampler(const io::json& root, const std::string& where) {
  SamplerOptions options;
  options.repetition_penalty = io::value_or(root, "repetition_penalty", 1.0f, where);
  if (!io::value_or(root, "do_sample", false, where)) return options;
  options.temperature = io::value_or(root, "temperature", 1.0f, where);
  options.top_k = io::value_or(root, "top_k", 50, where);  // transformers' own default
  options.top_p = io::value_or(root, "top_p", 1.0f, where);
  options.min_p = io::value_or(root, "min_p", 0.0f, where);
  return options;
}

}  // namespace detail

/// Reads generation_config.json where there is one. The end ids come from it, else from config.json (its top level, then
/// its `text_config`), else they are LLaMA's 2.
inline GenerationConfig read_generation_config(const std::filesystem::path& folder) {
  GenerationConfig config;
  if (const auto file = folder / "generation_config.json"; std::filesystem::exists(file)) {
    const io::json root = io::read_json_file(file);
    config.sampler = detail::read_sampler(root, file.string());
    config.eos = detail::int_or_list(root, "eos_token_id", file.string());
    config.beams = io::value_or(root, "num_beams", 1, file.string());
    config.length_penalty = io::value_or(root, "length_penalty", 1.0f, file.string());
  }
  const auto file = folder / "config.json";
  const io::json root = io::read_json_file(file);
  if (config.eos.empty()) config.eos = detail::int_or_list(root, "eos_token_id", file.string());
  const auto text = root.find("text_config");
  if (config.eos.empty() && text != root.end() && text->is_object()) {
    config.eos = detail::int_or_list(*text, "eos_token_id", file.string());
  }
  if (config.eos.empty()) config.eos = {2};
  return config;
}

}  // namespace tessera::hub

#pragma once
// tessera ask: what the command line asked for, and one function for each compute backend.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/runtime.hpp"

namespace tessera::cli {

struct AskOptions {
  std::string model, vision_tower, messages, conversation, dump;
  std::vector<std::string> images;
  std::optional<std::string> prompt;
  bool raw_prompt = false, quiet = false;
  int max_new = 512;
  // Absent: what the model's generation_config.json says.
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<float> length_penalty;
  std::optional<int> top_k, beams;
  std::uint64_t seed = 0;
  RuntimeOptions runtime;
};

void ask_native(const AskOptions& options);
void ask_reference(const AskOptions& options);
void ask_onednn(const AskOptions& options);
void ask_eigen(const AskOptions& options);

}  // namespace tessera::cli

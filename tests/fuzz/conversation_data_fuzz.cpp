// Input: the text of a training data file.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tessera/io/conversation_data.hpp"

using namespace tessera::io;

namespace {

/// Bytes alone: nothing but </s> is joined.
Tokenizer byte_tokenizer() {
  json vocabulary{{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
  for (int byte = 0; byte < 256; ++byte) {
    std::array<char, 8> name{};
    std::snprintf(name.data(), name.size(), "<0x%02X>", byte);
    vocabulary[name.data()] = 3 + byte;
  }
  const json end{{"id", 2},         {"content", "</s>"}, {"special", true},    {"single_word", false},
                 {"lstrip", false}, {"rstrip", false},   {"normalized", false}};
  const json model{{"type", "BPE"},
                   {"vocab", vocabulary},
                   {"merges", json::array()},
                   {"unk_token", "<unk>"},
                   {"byte_fallback", true}};
  return Tokenizer::from_json(json{{"model", model}, {"added_tokens", {end}}}.dump(), "fuzz");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Tokenizer tokenizer = byte_tokenizer();
  for (const char* name : {"v1", "plain", "llava_llama_2", "hf"}) {
    try {
      const ConversationData samples({reinterpret_cast<const char*>(data), size}, "fuzz", "/nonexistent", tokenizer,
                                     {.conversation = conversation_template(name), .rows_per_image = 4},
                                     ConversationData::Broken::skip);
      for (int i = 0; i < samples.size(); ++i) {
        const LabelledIds text = samples.labelled_ids(i);
        if (text.ids.size() != text.labels.size()) std::abort();
      }
    } catch (const tessera::Error&) {
    }
  }
  return 0;
}

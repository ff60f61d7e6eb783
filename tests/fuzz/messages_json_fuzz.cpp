// Input: the text of a message list.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tessera/io/conversation.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera::io;
  try {
    const auto turns = parse_messages({reinterpret_cast<const char*>(data), size}, "fuzz");
    for (const char* name : {"v0", "v1", "llama_2", "v1_mmtag", "plain", "hf"}) {
      const auto kind = conversation_template(name);
      const bool open_answer = !turns.empty() && turns.back().role == "user";
      format_conversation(kind, turns, open_answer);
    }
  } catch (const tessera::Error&) {
  }
  return 0;
}

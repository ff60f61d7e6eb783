// Input: the text of a tokenizer.json, a NUL, and a text to encode.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/io/tokenizer.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera::io;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t file_end = input.find('\0');
  try {
    const Tokenizer tokenizer = Tokenizer::from_json(input.substr(0, file_end), "fuzz");
    const std::string_view text = file_end == input.npos ? "a <s>b\n" : input.substr(file_end + 1);
    const std::vector<int> ids = tokenizer.encode(text);
    TokenStream stream(tokenizer, false);
    std::string streamed;
    for (const int id : ids) streamed += stream.push(id);
    if (streamed + stream.finish() != tokenizer.decode(ids, false)) std::abort();
  } catch (const tessera::Error&) {
  }
  return 0;
}

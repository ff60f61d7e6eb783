// Input: the bytes of a tokenizer.model.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tessera/io/tokenizer.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera::io;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const Tokenizer tokenizer = Tokenizer::from_sentencepiece(bytes, "fuzz");
    tokenizer.decode(tokenizer.encode("a  <s>b\n\xC3\xA9 aab"));
    tokenizer.decode(tokenizer.encode(bytes));
  } catch (const tessera::Error&) {
  }
  return 0;
}

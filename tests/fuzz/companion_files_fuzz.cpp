// Input: the texts of a tokenizer_config.json, an added_tokens.json and a special_tokens_map.json, and a text to
// encode, with a NUL between them. An empty text stands for a missing file.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/io/tokenizer.hpp"

using namespace tessera::io;

namespace {

std::string_view take_until_nul(std::string_view& rest) {
  const std::string_view part = rest.substr(0, rest.find('\0'));
  rest.remove_prefix(std::min(part.size() + 1, rest.size()));
  return part;
}

/// As CompanionFiles::read.
CompanionFiles read_companions(std::string_view config, std::string_view added, std::string_view special) {
  using detail::CompanionReader;
  CompanionReader reader;
  const auto read_if_there = [&](std::string_view text, auto use) {
    if (!text.empty()) (reader.*use)(parse_json(text, "fuzz"), "fuzz");
  };
  read_if_there(config, &CompanionReader::read_config);
  read_if_there(added, &CompanionReader::read_added_tokens);
  read_if_there(special, &CompanionReader::read_special_tokens);
  read_if_there(config, &CompanionReader::read_special_tokens);
  return std::move(reader).result();
}

/// A field of a protobuf message that holds bytes, fewer than 128.
std::string protobuf_field(char number, std::string_view bytes) {
  std::string field{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())};
  return field.append(bytes);
}

/// A tokenizer.model of a few pieces, which takes ids from its companions.
std::string sentencepiece_model() {
  const std::string normal, unknown("\x18\x02"), control("\x18\x03");
  std::string model = protobuf_field(2, "\x18\x02");  // of kind BPE
  for (const auto& [text, kind] :
       {std::pair("<unk>", unknown), {"<s>", control}, {"</s>", control}, {"a", normal}, {"b", normal}, {"ab", normal}})
    model += protobuf_field(1, protobuf_field(1, text) + kind);
  return model;
}

void check_round_trip(const Tokenizer& tokenizer, std::string_view text) {
  const std::vector<int> ids = tokenizer.encode(text);
  TokenStream stream(tokenizer, false);
  std::string streamed;
  for (const int id : ids) streamed += stream.push(id);
  if (streamed + stream.finish() != tokenizer.decode(ids, false)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string model = sentencepiece_model();
  static constexpr const char* file =
      R"({"model": {"vocab": {"<unk>": 0, "a": 1, "b": 2, "ab": 3}, "merges": ["a b"], "unk_token": "<unk>"}})";
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view config = take_until_nul(text), added = take_until_nul(text), special = take_until_nul(text);
  try {
    const CompanionFiles companions = read_companions(config, added, special);
    check_round_trip(Tokenizer::from_json(file, "fuzz", companions), text);
    check_round_trip(Tokenizer::from_sentencepiece(model, "fuzz", companions), text);
  } catch (const tessera::Error&) {
  }
  return 0;
}

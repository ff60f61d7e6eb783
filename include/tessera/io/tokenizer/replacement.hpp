#pragma once
/// "Replace" of tokenizer.json, used by normalizers and decoders alike.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/io/json.hpp"
#include "tessera/io/tokenizer/regex.hpp"

namespace tessera::io {

/// Puts `content` in the place of every match of a literal string or a regular expression.
class Replacement {
 public:
  Replacement(std::string literal, std::string content) : literal_(std::move(literal)), content_(std::move(content)) {}
  Replacement(Regex regex, std::string content) : regex_(std::move(regex)), content_(std::move(content)) {}

  /// Reads {"pattern": {"String" or "Regex": …}, "content": …}.
  static Replacement from_json(const json& object, std::string_view where) {
    std::string content = require<std::string>(object, "content", where);
    const auto pattern = object.find("pattern");
    if (pattern == object.end() || !pattern->is_object() || pattern->size() != 1)
      fail(where, ": expected a field 'pattern' with either String or Regex");
    if (pattern->contains("Regex")) return {Regex(require<std::string>(*pattern, "Regex", where), where), content};
    std::string literal = require<std::string>(*pattern, "String", where);
    if (literal.empty()) fail(where, ": the string to replace is empty");
    return {std::move(literal), std::move(content)};
  }

  std::string apply(std::string_view text) const {
    std::string result;
    std::size_t copied = 0;
    const auto replace = [&](std::size_t begin, std::size_t end) {
      result.append(text, copied, begin - copied).append(content_);
      copied = end;
      if (result.size() > longest_result) fail("a 'Replace' of the tokenizer blows a text up to more than 1 GiB");
    };
    if (text.empty()) return result;
    if (regex_) {
      regex_->for_each_match(text, replace);
    } else {
      for (std::size_t at = text.find(literal_); at != text.npos; at = text.find(literal_, copied))
        replace(at, at + literal_.size());
    }
    return result.append(text, copied);
  }

 private:
  // A short file may ask for one doubling after another.
  static constexpr std::size_t longest_result = std::size_t{1} << 30;

  std::string literal_;
  std::optional<Regex> regex_;
  std::string content_;
};

}  // namespace tessera::io

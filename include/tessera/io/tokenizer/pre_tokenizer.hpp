#pragma once
/// The pre-tokenizers of tokenizer.json: they cut a normalized text into words that no token crosses.

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/json.hpp"
#include "tessera/io/tokenizer/replacement.hpp"
#include "tessera/io/tokenizer/unicode.hpp"

namespace tessera::io {

/// Consecutive words: word i is `text` from the end of word i − 1 to ends[i].
struct Words {
  std::string text;
  std::vector<std::size_t> ends;
  bool at_start = false;  ///< the first word stands at the very start of what the user wrote

  /// Calls visit(word, whether it stands at the start) for each word that is not empty.
  template <class Visit>
  void for_each(Visit visit) const {
    std::size_t begin = 0;
    for (const std::size_t end : ends) {
      if (begin < end) visit(std::string_view(text).substr(begin, end - begin), at_start && begin == 0);
      begin = end;
    }
  }
};

/// When Metaspace puts its mark in front of a word that does not start with it.
enum class PrependScheme { always, first, never };

/// Reads `prepend_scheme`, and `add_prefix_space` of older files.
inline PrependScheme prepend_scheme_from_json(const json& object, std::string_view where) {
  const auto scheme = value_or<std::string>(object, "prepend_scheme", "always", where);
  const bool prefix = value_or(object, "add_prefix_space", true, where);
  if (scheme == "never" || (!prefix && !object.contains("prepend_scheme"))) return PrependScheme::never;
  if (!prefix) fail(where, ": add_prefix_space is false and prepend_scheme is ", in_quotes(scheme));
  if (scheme == "always") return PrependScheme::always;
  if (scheme == "first") return PrependScheme::first;
  fail(where, ": prepend_scheme is ", in_quotes(scheme), ", expected always, first or never");
}

/// The one character of Metaspace's field `replacement`, in UTF-8.
inline std::string metaspace_mark(const json& object, std::string_view where) {
  auto mark = require<std::string>(object, "replacement", where);
  if (mark.empty() || utf8_length(mark, 0) != mark.size())
    fail(where, ": replacement is ", in_quotes(mark), ", expected one character");
  return mark;
}

/// A chain of pre-tokenizers. An empty chain leaves the text as one word.
class PreTokenizer {
 public:
  /// Writes blanks as a visible mark, and cuts before each mark if `split`.
  struct Metaspace {
    std::string mark;
    Replacement blanks_to_mark;
    PrependScheme scheme;
    bool split;

    Words operator()(const Words& words) const {
      Words result;
      result.at_start = words.at_start;
      words.for_each([&](std::string_view word, bool at_start) {
        const std::string marked = blanks_to_mark.apply(word);
        const std::size_t begin = result.text.size();
        if (!marked.starts_with(mark) &&
            (scheme == PrependScheme::always || (scheme == PrependScheme::first && at_start)))
          result.text += mark;
        result.text += marked;
        if (split)
          for (std::size_t at = begin + 1; (at = result.text.find(mark, at)) != std::string::npos; at += mark.size())
            result.ends.push_back(at);
        result.ends.push_back(result.text.size());
      });
      return result;
    }
  };
  using Step = std::variant<Metaspace>;

  PreTokenizer() = default;

  /// Metaspace alone.
  static PreTokenizer metaspace(const std::string& mark, PrependScheme scheme, bool split) {
    PreTokenizer result;
    result.steps_.push_back(Metaspace{mark, Replacement(" ", mark), scheme, split});
    return result;
  }

  /// Reads the field `pre_tokenizer`; null gives the empty chain.
  static PreTokenizer from_json(const json& object, const std::string& where) {
    PreTokenizer result;
    if (!object.is_null()) result.append(object, where);
    return result;
  }

  /// The words of `text`, valid UTF-8. `at_start`: the text stands at the very start of what the user wrote.
  Words operator()(std::string text, bool at_start) const {
    const std::size_t size = text.size();
    Words words{std::move(text), {size}, at_start};
    for (const Step& step : steps_) words = std::visit([&](const auto& cut) { return cut(words); }, step);
    return words;
  }

 private:
  void append(const json& object, const std::string& where) {
    const auto type = require<std::string>(object, "type", where);
    if (type == "Sequence") {
      const auto steps = object.find("pretokenizers");
      if (steps == object.end() || !steps->is_array()) fail(where, ": expected a list in the field 'pretokenizers'");
      for (const json& step : *steps) append(step, where);
    } else if (type == "Metaspace") {
      const std::string mark = metaspace_mark(object, where);
      steps_.push_back(Metaspace{mark, Replacement(" ", mark), prepend_scheme_from_json(object, where),
                                 value_or(object, "split", true, where)});
    } else {
      fail(where, ": the pre-tokenizer ", in_quotes(type), " is not supported");
    }
  }

  std::vector<Step> steps_;
};

}  // namespace tessera::io

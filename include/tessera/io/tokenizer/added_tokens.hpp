#pragma once
/// Added tokens: strings like `<image>` that are found in the text before the model sees it.

#include <algorithm>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/json.hpp"
#include "tessera/io/tokenizer/unicode.hpp"
#include "tessera/io/tokenizer/vocabulary.hpp"

namespace tessera::io {

/// One entry of `added_tokens`. The id is not read from the file: AddedTokens gives it.
struct AddedToken {
  std::string content;
  bool single_word = false;  ///< only where no word character stands beside it
  bool lstrip = false;       ///< takes the white space on its left with it
  bool rstrip = false;       ///< takes the white space on its right with it
  bool normalized = false;   ///< looked for, itself normalized, in the normalized text
  bool special = false;      ///< left out when decoding with skip_special_tokens

  static AddedToken from_json(const json& object, const std::string& where) {
    const auto flag = [&](const char* name) { return value_or(object, name, false, where); };
    auto content = require<std::string>(object, "content", where);
    check_token_length(content, where);
    return {std::move(content), flag("single_word"), flag("lstrip"),
            flag("rstrip"),     flag("normalized"),  flag("special")};
  }
};

/// A set of strings and their numbers, for finding the longest that starts at a place: a trie in a hash table.
class StringTrie {
 public:
  bool empty() const { return node_count_ == 1; }

  void insert(std::string_view text, int value) {
    std::uint64_t node = 0;
    for (const char c : text) {
      const auto [child, is_new] = children_.try_emplace(edge(node, c), node_count_);
      if (is_new) ++node_count_;
      node = child->second;
    }
    values_[node] = value;
    first_bytes_.set(static_cast<unsigned char>(text.front()));
  }

  struct Match {
    std::size_t begin, end;
    int value;
  };

  /// The leftmost match at or after `from`, and of those the longest.
  std::optional<Match> find(std::string_view text, std::size_t from) const {
    for (std::size_t begin = from; begin < text.size(); ++begin) {
      if (!first_bytes_[static_cast<unsigned char>(text[begin])]) continue;
      std::optional<Match> longest;
      std::uint64_t node = 0;
      for (std::size_t end = begin; end < text.size();) {
        const auto child = children_.find(edge(node, text[end++]));
        if (child == children_.end()) break;
        node = child->second;
        if (const auto value = values_.find(node); value != values_.end()) longest = {begin, end, value->second};
      }
      if (longest) return longest;
    }
    return std::nullopt;
  }

 private:
  static std::uint64_t edge(std::uint64_t node, char c) { return node << 8 | static_cast<unsigned char>(c); }

  std::uint64_t node_count_ = 1;
  std::unordered_map<std::uint64_t, std::uint64_t> children_;
  std::unordered_map<std::uint64_t, int> values_;
  std::bitset<256> first_bytes_;
};

/// The added tokens of a tokenizer, in the order of its file.
class AddedTokens {
 public:
  /// Adds a token under an id, both new. `pattern` is what the text is searched for: the content, normalized if the
  /// token is.
  void add(AddedToken token, int id, std::string pattern) {
    if (token.content.empty() || pattern.empty()) return;
    (token.normalized ? in_normalized_ : in_raw_).insert(pattern, id);
    by_content_[token.content] = id;
    by_id_.insert_or_assign(id, Entry{std::move(token), std::move(pattern)});
    largest_id_ = std::max(largest_id_, id);
  }

  std::optional<int> id_of(std::string_view content) const {
    const auto found = by_content_.find(std::string(content));
    return found == by_content_.end() ? std::nullopt : std::optional(found->second);
  }

  /// The token of an id, or null.
  const AddedToken* find(int id) const {
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : &found->second.token;
  }

  /// What the decoder reads for an added token: normalized if that is how it was found.
  std::string_view decoded(int id) const { return by_id_.at(id).pattern; }

  /// The largest id of an added token, −1 if there is none.
  int largest_id() const { return largest_id_; }

  /// Cuts `text` at the added tokens that are searched for before (`normalized` false) or after normalization. Calls
  /// visit_token(id) and visit_text(part, offset of the part) from left to right.
  template <class VisitToken, class VisitText>
  void split(std::string_view text, bool normalized, VisitToken visit_token, VisitText visit_text) const {
    const StringTrie& trie = normalized ? in_normalized_ : in_raw_;
    std::size_t done = 0, from = 0;
    while (!trie.empty()) {
      const auto match = trie.find(text, from);
      if (!match) break;
      from = match->end;
      const AddedToken& token = by_id_.at(match->value).token;
      auto [begin, end, id] = *match;
      if (token.single_word && !stands_alone(text, begin, end)) continue;
      if (token.lstrip)
        while (begin > done && is_whitespace(utf8_at(text, utf8_start_before(text, begin))))
          begin = utf8_start_before(text, begin);
      if (token.rstrip)
        while (end < text.size() && is_whitespace(utf8_at(text, end))) end += utf8_length(text, end);
      if (done < begin) visit_text(text.substr(done, begin - done), done);
      visit_token(id);
      done = end;
    }
    if (done < text.size()) visit_text(text.substr(done), done);
  }

 private:
  static bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
    return !(begin > 0 && is_word_character(utf8_at(text, utf8_start_before(text, begin)))) &&
           !(end < text.size() && is_word_character(utf8_at(text, end)));
  }

  struct Entry {
    AddedToken token;
    std::string pattern;
  };

  std::unordered_map<int, Entry> by_id_;
  std::unordered_map<std::string, int> by_content_;
  StringTrie in_raw_, in_normalized_;
  int largest_id_ = -1;
};

}  // namespace tessera::io

#pragma once
/// The two-way map between a model's tokens and their ids.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/problem_list.hpp"

namespace tessera::io {

/// Ids at or above this are refused: a short file must not ask for gigabytes.
inline constexpr int max_token_id = 1 << 22;

/// Longer tokens, in bytes, are refused where each of their places is looked at: a file must not take time that grows
/// with the square of its size.
inline constexpr std::size_t max_token_bytes = 1024;

/// Throws an Error that starts with `where` for a token above that limit.
inline void check_token_length(std::string_view token, std::string_view where) {
  if (token.size() > max_token_bytes)
    fail(where, ": the token ", in_quotes(token), " has ", token.size(), " bytes, expected at most ", max_token_bytes);
}

/// Tokens and ids, each at most once. No token is empty; ids may have gaps, which read as empty tokens.
class Vocabulary {
 public:
  Vocabulary() = default;

  /// Takes (token, id) pairs; throws an Error that starts with `where` for an id out of range or anything twice.
  Vocabulary(const std::vector<std::pair<std::string, int>>& entries, std::string_view where) : count_(entries.size()) {
    int largest = -1;
    for (const auto& [token, id] : entries) {
      if (id < 0 || id >= max_token_id)
        fail(where, ": the token ", in_quotes(token), " has id ", id, ", expected 0 to ", max_token_id - 1);
      if (token.empty()) fail(where, ": the token of id ", id, " is empty");
      largest = std::max(largest, id);
    }
    tokens_.resize(static_cast<std::size_t>(largest + 1));
    slots_.assign(std::bit_ceil(2 * entries.size() + 1), no_id);
    for (const auto& [token, id] : entries) {
      int& slot = slots_[slot_of(token)];
      if (slot != no_id) fail(where, ": the token ", in_quotes(token), " has two ids, ", slot, " and ", id);
      slot = id;
      std::string& place = tokens_[static_cast<std::size_t>(id)];
      if (!place.empty())
        fail(where, ": id ", id, " belongs to two tokens, ", in_quotes(place), " and ", in_quotes(token));
      place = token;
    }
  }

  std::optional<int> id_of(std::string_view token) const {
    if (slots_.empty()) return std::nullopt;
    const int id = slots_[slot_of(token)];
    return id == no_id ? std::nullopt : std::optional(id);
  }

  /// The token of an id; empty if there is none.
  std::string_view token(int id) const {
    return id >= 0 && id < id_bound() ? std::string_view(tokens_[static_cast<std::size_t>(id)]) : std::string_view();
  }

  /// How many tokens there are.
  int count() const { return static_cast<int>(count_); }
  /// One more than the largest id.
  int id_bound() const { return static_cast<int>(tokens_.size()); }

 private:
  static constexpr int no_id = -1;

  // The slot of `token`, or the empty one where it would go (open addressing, at most half full).
  std::size_t slot_of(std::string_view token) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t slot = std::hash<std::string_view>{}(token)&mask;
    while (slots_[slot] != no_id && tokens_[static_cast<std::size_t>(slots_[slot])] != token) slot = (slot + 1) & mask;
    return slot;
  }

  std::size_t count_ = 0;
  std::vector<std::string> tokens_;  // by id
  std::vector<int> slots_;
};

}  // namespace tessera::io

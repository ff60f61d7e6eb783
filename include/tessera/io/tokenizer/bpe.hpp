#pragma once
/// Byte-pair encoding: the model of LLaMA's tokenizer (Sennrich et al. 2016, with SentencePiece's byte fallback).

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/json.hpp"
#include "tessera/io/tokenizer/unicode.hpp"
#include "tessera/io/tokenizer/vocabulary.hpp"

namespace tessera::io {

/// Which neighbours join to what, and how early: a hash table from a pair of ids.
class MergeTable {
 public:
  struct Merge {
    std::uint32_t rank;  ///< lower goes first
    int merged;          ///< the id that takes the pair's place
  };

  MergeTable() = default;
  explicit MergeTable(std::size_t expected) : slots_(std::bit_ceil(2 * expected + 1)) {}

  /// A pair that comes again takes its last rank. At most `expected` pairs may be set.
  void set(int left, int right, Merge merge) { slots_[slot_of(key(left, right))] = {key(left, right), merge}; }

  template <class Visit>
  void for_each_pair(Visit visit) const {
    for (const Slot& slot : slots_)
      if (slot.key != no_key) visit(static_cast<int>(slot.key >> 32), static_cast<int>(slot.key & 0xFFFFFFFF));
  }

  const Merge* find(int left, int right) const {
    if (slots_.empty()) return nullptr;
    const Slot& slot = slots_[slot_of(key(left, right))];
    return slot.key == no_key ? nullptr : &slot.merge;
  }

 private:
  static constexpr std::uint64_t no_key = ~std::uint64_t{0};  // no pair: ids are not negative
  struct Slot {
    std::uint64_t key = no_key;
    Merge merge{};
  };

  static std::uint64_t key(int left, int right) {
    return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
  }

  std::size_t slot_of(std::uint64_t key) const {
    const std::size_t mask = slots_.size() - 1;
    const std::uint64_t mixed = key * 0x9E3779B97F4A7C15u;  // Fibonacci hashing: the high bits are the mixed ones
    std::size_t slot = static_cast<std::size_t>(mixed >> 32) & mask;
    while (slots_[slot].key != no_key && slots_[slot].key != key) slot = (slot + 1) & mask;
    return slot;
  }

  std::vector<Slot> slots_;
};

/// A trained BPE model. Encoding starts from characters and joins the pair of lowest rank, the leftmost of equals,
/// until no pair is left.
class Bpe {
 public:
  struct Options {
    std::optional<std::string> unknown_token;  ///< stands for characters that are in no way in the vocabulary
    bool byte_fallback = false;                ///< such a character becomes `<0xHH>` tokens instead, if all exist
    bool fuse_unknown = false;                 ///< neighbouring unknown characters make one unknown token
    bool ignore_merges = false;                ///< a word that is a token as a whole is that token
  };

  /// Memory that encode() uses; keep it from word to word.
  class Scratch {
    friend class Bpe;
    struct Symbol {
      int id;  // of the piece that starts here, or `gone`
      std::uint32_t previous, next;
    };
    struct Candidate {
      std::uint32_t rank, position;
      int merged;
      bool operator<(const Candidate& other) const {  // std::*_heap keep the largest in front
        return std::pair(other.rank, other.position) < std::pair(rank, position);
      }
    };
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };

  Bpe(Vocabulary vocabulary, MergeTable merges, const Options& options, std::string_view where)
      : vocabulary_(std::move(vocabulary)), merges_(std::move(merges)), options_(options) {
    if (options.unknown_token) {
      unknown_ = vocabulary_.id_of(*options.unknown_token);
      if (!unknown_) fail(where, ": unk_token ", in_quotes(*options.unknown_token), " is not in the vocabulary");
    }
    for (int value = 0; value < 256; ++value) {
      constexpr std::string_view digits = "0123456789ABCDEF";
      const std::string name = {'<', '0', 'x', digits[value / 16], digits[value % 16], '>'};
      bytes_[value] = vocabulary_.id_of(name).value_or(-1);
      if (value < 128) ascii_[value] = vocabulary_.id_of(std::string(1, static_cast<char>(value))).value_or(-1);
    }
    find_joints();
  }

  /// Reads the field `model` of a tokenizer.json.
  static Bpe from_json(const json& model, const std::string& where) {
    if (const auto type = value_or<std::string>(model, "type", "BPE", where); type != "BPE")
      fail(where, ": type is ", in_quotes(type), ", expected BPE");
    for (const char* field : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (const auto affix = value_or<std::string>(model, field, "", where); !affix.empty())
        fail(where, ": ", field, " is ", in_quotes(affix), ", which is not supported");
    if (const double dropout = value_or(model, "dropout", 0.0, where); dropout != 0)
      fail(where, ": dropout is ", dropout, ", expected none: it makes the tokens random");

    const auto vocab = model.find("vocab");
    if (vocab == model.end() || !vocab->is_object()) fail(where, ": expected an object in the field 'vocab'");
    std::vector<std::pair<std::string, int>> entries;
    entries.reserve(vocab->size());
    for (const auto& [token, id] : vocab->items()) entries.emplace_back(token, json_as<int>(id, where + ": vocab"));
    Vocabulary vocabulary(entries, where + ": vocab");

    MergeTable merges = merges_from_json(model, vocabulary, where + ": merges");
    Options options;
    if (auto unknown = value_or<std::string>(model, "unk_token", "", where); !unknown.empty())
      options.unknown_token = std::move(unknown);
    options.byte_fallback = value_or(model, "byte_fallback", false, where);
    options.fuse_unknown = value_or(model, "fuse_unk", false, where);
    options.ignore_merges = value_or(model, "ignore_merges", false, where);
    return Bpe(std::move(vocabulary), std::move(merges), options, where);
  }

  const Vocabulary& vocabulary() const { return vocabulary_; }
  std::optional<int> unknown() const { return unknown_; }

  /// Appends the ids of a word, which is valid UTF-8. O(n log n).
  void encode(std::string_view word, std::vector<int>& ids, Scratch& scratch) const {
    if (options_.ignore_merges)
      if (const auto id = vocabulary_.id_of(word)) return ids.push_back(*id);
    if (word.size() >= std::numeric_limits<std::uint32_t>::max())
      fail("a text of ", word.size(), " bytes is too long for the tokenizer, expected less than 4 GiB without a break");
    start_from_characters(word, scratch);
    const auto& symbols = scratch.symbols;
    for (std::uint32_t begin = 0, end = 1; begin < symbols.size(); begin = end++) {
      while (end < symbols.size() && (!cuttable_ || joints_.find(symbols[end - 1].id, symbols[end].id) != nullptr))
        ++end;
      merge_stretch(begin, end, scratch);
    }
    for (const auto& symbol : symbols)
      if (symbol.id != gone) ids.push_back(symbol.id);
  }

 private:
  static constexpr int gone = -1;
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

  static MergeTable merges_from_json(const json& model, const Vocabulary& vocabulary, const std::string& where) {
    const auto list = model.find("merges");
    if (list == model.end() || !list->is_array()) fail(where, ": expected a list");
    MergeTable merges(list->size());
    std::uint32_t rank = 0;
    for (const json& entry : *list) {
      std::string left, right;
      if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
        left = entry[0].get<std::string>(), right = entry[1].get<std::string>();
      } else if (entry.is_string()) {
        const auto text = entry.get<std::string>();
        if (text.starts_with("#version")) continue;
        const std::size_t blank = text.find(' ');
        if (blank == text.npos || text.find(' ', blank + 1) != text.npos)
          fail(where, ": entry ", rank, " is ", in_quotes(text), ", expected two tokens with one blank between");
        left = text.substr(0, blank), right = text.substr(blank + 1);
      } else {
        fail(where, ": entry ", rank, " is neither a string nor two strings");
      }
      const auto id = [&](const std::string& token) {
        const auto found = vocabulary.id_of(token);
        if (!found)
          fail(where, ": entry ", rank, " needs the token ", in_quotes(token), ", which is not in the vocabulary");
        return *found;
      };
      const int left_id = id(left), right_id = id(right);
      merges.set(left_id, right_id, {rank, id(left + right)});
      ++rank;
    }
    return merges;
  }

  // A merge joins its halves where a certain character meets another. Where two characters meet that no merge joins, no
  // token can form across, so the word may be cut there: short stretches merge much faster than a long one.
  void find_joints() {
    std::set<std::pair<int, int>> joints;
    merges_.for_each_pair([&](int left, int right) {
      // Tokens that stand for a byte or for anything are no text, so what they join cannot be read off their names.
      for (const int id : {left, right})
        cuttable_ = cuttable_ && id != unknown_ && std::ranges::find(bytes_, id) == bytes_.end();
      const std::string_view before = vocabulary_.token(left), after = vocabulary_.token(right);
      const int last = character_id(before.substr(utf8_start_before(before, before.size())));
      const int first = character_id(after.substr(0, utf8_length(after, 0)));
      if (last >= 0 && first >= 0) joints.emplace(last, first);
    });
    joints_ = MergeTable(joints.size());
    for (const auto& [last, first] : joints) joints_.set(last, first, {});
  }

  int character_id(std::string_view character) const {
    if (character.size() == 1) return ascii_[static_cast<unsigned char>(character.front())];
    return vocabulary_.id_of(character).value_or(-1);
  }

  void start_from_characters(std::string_view word, Scratch& scratch) const {
    auto& symbols = scratch.symbols;
    symbols.clear();
    const auto add = [&](int id) {
      const auto position = static_cast<std::uint32_t>(symbols.size());
      symbols.push_back({id, position - 1, position + 1});
    };
    // An unknown token waits for the next known character, also past byte tokens: so does the reference.
    bool unknown_waits = false;
    const auto flush_unknown = [&] {
      if (unknown_waits) add(*unknown_);
      unknown_waits = false;
    };
    for (std::size_t i = 0, length = 0; i < word.size(); i += length) {
      length = utf8_length(word, i);
      const std::string_view character = word.substr(i, length);
      const int id = character_id(character);
      if (id >= 0) {
        flush_unknown();
        add(id);
      } else if (options_.byte_fallback && std::ranges::all_of(character, [&](char c) { return byte_id(c) >= 0; })) {
        for (const char c : character) add(byte_id(c));
      } else if (unknown_) {
        if (!options_.fuse_unknown) flush_unknown();
        unknown_waits = true;
      }
    }
    flush_unknown();
  }

  // Merges symbols begin … end − 1. A heap holds the pairs that may join; one that changed since it was put there is
  // passed over when it comes up.
  void merge_stretch(std::uint32_t begin, std::uint32_t end, Scratch& scratch) const {
    auto& symbols = scratch.symbols;
    auto& heap = scratch.heap;
    symbols[begin].previous = none;
    symbols[end - 1].next = none;
    heap.clear();
    const auto candidate = [&](std::uint32_t position) -> std::optional<Scratch::Candidate> {
      if (position == none || symbols[position].next == none) return std::nullopt;
      const auto* merge = merges_.find(symbols[position].id, symbols[symbols[position].next].id);
      if (merge == nullptr) return std::nullopt;
      return Scratch::Candidate{merge->rank, position, merge->merged};
    };
    const auto consider = [&](std::uint32_t position) {
      if (const auto pair = candidate(position)) {
        heap.push_back(*pair);
        std::push_heap(heap.begin(), heap.end());
      }
    };
    for (std::uint32_t position = begin; position < end; ++position)
      if (const auto pair = candidate(position)) heap.push_back(*pair);
    std::make_heap(heap.begin(), heap.end());

    while (!heap.empty()) {
      std::pop_heap(heap.begin(), heap.end());
      const auto [rank, position, merged] = heap.back();
      heap.pop_back();
      auto& left = symbols[position];
      if (left.id == gone || left.next == none) continue;
      auto& right = symbols[left.next];
      const auto* merge = merges_.find(left.id, right.id);
      if (merge == nullptr || merge->merged != merged) continue;

      left.id = merged;
      right.id = gone;
      left.next = right.next;
      if (left.next != none) symbols[left.next].previous = position;
      consider(left.previous);
      consider(position);
    }
  }

  int byte_id(char byte) const { return bytes_[static_cast<unsigned char>(byte)]; }

  Vocabulary vocabulary_;
  MergeTable merges_;
  Options options_;
  std::optional<int> unknown_;
  std::array<int, 256> bytes_;  // ids of <0x00> … <0xFF>, −1 where there is none
  std::array<int, 128> ascii_;  // ids of ASCII characters, −1 where there is none
  MergeTable joints_;           // pairs of characters
  bool cuttable_ = true;
};

}  // namespace tessera::io

#pragma once
/// SentencePiece's `.model` files (protocol buffers, sentencepiece_model.proto), and the tokenizer parts they stand
/// for.

#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/problem_list.hpp"
#include "tessera/io/tokenizer/bpe.hpp"
#include "tessera/io/tokenizer/unicode.hpp"
#include "tessera/io/tokenizer/vocabulary.hpp"

namespace tessera::io {

/// What tokenizing needs of a `.model` file; the defaults are the format's.
struct SentencePieceModel {
  enum class Kind : int { unigram = 1, bpe, word, character };
  enum class PieceKind : int { normal = 1, unknown, control, user_defined, unused, byte };
  struct Piece {
    std::string text;
    float score = 0;
    PieceKind kind = PieceKind::normal;
  };

  std::vector<Piece> pieces;  ///< by id
  Kind kind = Kind::unigram;
  bool byte_fallback = false;
  bool whitespace_as_suffix = false;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  std::string precompiled_charsmap;  ///< compiled normalization rules; empty: none
  std::string unknown_token = "<unk>", bos_token = "<s>", eos_token = "</s>";

  /// Throws an Error that starts with `where` for anything but a well-formed file.
  static SentencePieceModel parse(std::string_view bytes, std::string_view where);
};

namespace detail {

/// Walks the fields of one protocol-buffers message.
class ProtobufReader {
 public:
  ProtobufReader(std::string_view bytes, std::string_view where) : rest_(bytes), where_(where) {}

  /// Moves to the next field; false at the end.
  bool next() {
    if (rest_.empty()) return false;
    const std::uint64_t tag = varint();
    if (tag >> 3 == 0 || tag >> 32 != 0)
      fail(where_, ": a field has the number ", tag >> 3, ", not valid in protocol buffers");
    number_ = static_cast<int>(tag >> 3);
    wire_type_ = static_cast<int>(tag & 7);
    switch (wire_type_) {
      case varint_type:
        value_ = varint();
        break;
      case fixed64_type:
        payload_ = take(8);
        break;
      case bytes_type:
        payload_ = take(varint());
        break;
      case fixed32_type:
        payload_ = take(4);
        break;
      default:
        fail(where_, ": field ", number_, " has wire type ", wire_type_, ", expected 0, 1, 2 or 5");
    }
    return true;
  }

  int number() const { return number_; }
  std::uint64_t integer() const { return expect(varint_type), value_; }
  bool boolean() const { return integer() != 0; }
  std::string_view bytes() const { return expect(bytes_type), payload_; }
  std::string text() const {
    if (find_invalid_utf8(bytes()) != payload_.size()) fail(where_, ": field ", number_, " is not UTF-8");
    return std::string(payload_);
  }
  float float32() const {
    expect(fixed32_type);
    std::uint32_t bits = 0;  // little-endian in the file
    for (int i = 3; i >= 0; --i) bits = bits << 8 | static_cast<unsigned char>(payload_[static_cast<std::size_t>(i)]);
    return std::bit_cast<float>(bits);
  }

 private:
  static constexpr int varint_type = 0, fixed64_type = 1, bytes_type = 2, fixed32_type = 5;

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1).front());
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    fail(where_, ": an integer is longer than 10 bytes");
  }

  std::string_view take(std::uint64_t size) {
    if (size > rest_.size()) fail(where_, ": the file ends early: ", size, " bytes expected, ", rest_.size(), " left");
    const auto taken = rest_.substr(0, static_cast<std::size_t>(size));
    rest_.remove_prefix(taken.size());
    return taken;
  }

  void expect(int wire_type) const {
    if (wire_type_ != wire_type)
      fail(where_, ": field ", number_, " has wire type ", wire_type_, ", expected ", wire_type);
  }

  std::string_view rest_, where_, payload_;
  std::uint64_t value_ = 0;
  int number_ = 0, wire_type_ = 0;
};

inline SentencePieceModel::Piece parse_piece(std::string_view bytes, std::string_view where) {
  SentencePieceModel::Piece piece;
  for (ProtobufReader field(bytes, where); field.next();) {
    switch (field.number()) {
      case 1:
        piece.text = field.text();
        break;
      case 2:
        piece.score = field.float32();
        break;
      case 3:
        if (field.integer() < 1 || field.integer() > 6)
          fail(where, ": a piece has type ", field.integer(), ", expected 1 to 6");
        piece.kind = static_cast<SentencePieceModel::PieceKind>(field.integer());
        break;
      default:
        break;
    }
  }
  if (piece.text.empty()) fail(where, ": a piece has no text");
  check_token_length(piece.text, where);
  if (!std::isfinite(piece.score)) fail(where, ": the score of the piece ", in_quotes(piece.text), " is not finite");
  return piece;
}

/// The message TrainerSpec.
inline void parse_trainer(ProtobufReader field, std::string_view where, SentencePieceModel& model) {
  while (field.next()) {
    switch (field.number()) {
      case 3:
        if (field.integer() < 1 || field.integer() > 4)
          fail(where, ": model_type is ", field.integer(), ", expected 1 to 4");
        model.kind = static_cast<SentencePieceModel::Kind>(field.integer());
        break;
      case 24:
        model.whitespace_as_suffix = field.boolean();
        break;
      case 35:
        model.byte_fallback = field.boolean();
        break;
      case 45:
        model.unknown_token = field.text();
        break;
      case 46:
        model.bos_token = field.text();
        break;
      case 47:
        model.eos_token = field.text();
        break;
      default:
        break;
    }
  }
}

/// The message NormalizerSpec.
inline void parse_normalizer(ProtobufReader field, SentencePieceModel& model) {
  while (field.next()) {
    switch (field.number()) {
      case 2:
        model.precompiled_charsmap = field.bytes();
        break;
      case 3:
        model.add_dummy_prefix = field.boolean();
        break;
      case 4:
        model.remove_extra_whitespaces = field.boolean();
        break;
      case 5:
        model.escape_whitespaces = field.boolean();
        break;
      default:
        break;
    }
  }
}

}  // namespace detail

inline SentencePieceModel SentencePieceModel::parse(std::string_view bytes, std::string_view where) {
  SentencePieceModel model;
  for (detail::ProtobufReader field(bytes, where); field.next();) {
    switch (field.number()) {
      case 1:
        model.pieces.push_back(detail::parse_piece(field.bytes(), where));
        break;
      case 2:
        detail::parse_trainer({field.bytes(), where}, where, model);
        break;
      case 3:
        detail::parse_normalizer({field.bytes(), where}, model);
        break;
      default:
        break;
    }
    if (model.pieces.size() > max_token_id) fail(where, ": more than ", max_token_id, " pieces");
  }
  if (model.pieces.empty()) fail(where, ": no pieces; not a SentencePiece model?");
  return model;
}

/// The BPE of a model of that kind. SentencePiece joins the neighbours whose concatenation is the piece of highest
/// score, so a merge's rank is the place of its result among the scores, whatever the halves are.
inline Bpe bpe_of(const SentencePieceModel& model, std::string_view where) {
  using PieceKind = SentencePieceModel::PieceKind;
  std::vector<std::pair<std::string, int>> entries;
  std::map<float, std::uint32_t, std::greater<>> rank_of_score;
  std::string unknown;
  for (const auto& piece : model.pieces) {
    if (piece.kind == PieceKind::unused)
      fail(where, ": the piece ", in_quotes(piece.text), " is of type UNUSED, which is not supported");
    if (piece.kind == PieceKind::unknown) unknown = piece.text;
    if (piece.kind == PieceKind::normal) rank_of_score.emplace(piece.score, 0);
    entries.emplace_back(piece.text, static_cast<int>(entries.size()));
  }
  if (unknown.empty()) fail(where, ": no piece is of type UNKNOWN");
  std::uint32_t rank = 0;
  for (auto& [score, its_rank] : rank_of_score) its_rank = rank++;

  Vocabulary vocabulary(entries, where);
  const auto normal_id = [&](std::string_view text) -> std::optional<int> {
    const auto id = vocabulary.id_of(text);
    return id && model.pieces[static_cast<std::size_t>(*id)].kind == PieceKind::normal ? id : std::nullopt;
  };
  struct Pair {
    int left, right;
    MergeTable::Merge merge;
  };
  std::vector<Pair> pairs;
  for (const auto& [text, id] : entries) {
    const auto& piece = model.pieces[static_cast<std::size_t>(id)];
    if (piece.kind != PieceKind::normal) continue;
    for (std::size_t cut = utf8_length(text, 0); cut < text.size(); cut += utf8_length(text, cut)) {
      const auto left = normal_id(std::string_view(text).substr(0, cut));
      const auto right = left ? normal_id(std::string_view(text).substr(cut)) : std::nullopt;
      if (right) pairs.push_back({*left, *right, {rank_of_score[piece.score], id}});
    }
  }
  MergeTable merges(pairs.size());
  for (const Pair& pair : pairs) merges.set(pair.left, pair.right, pair.merge);
  return Bpe(std::move(vocabulary), std::move(merges),
             {.unknown_token = unknown, .byte_fallback = model.byte_fallback, .fuse_unknown = true}, where);
}

}  // namespace tessera::io

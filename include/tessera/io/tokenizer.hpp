#pragma once
/// Tokenizers of language models: text to ids and back, as Hugging Face's `tokenizers` library does it.

#include <algorithm>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/json.hpp"
#include "tessera/io/mapped_file.hpp"
#include "tessera/io/tokenizer/added_tokens.hpp"
#include "tessera/io/tokenizer/bpe.hpp"
#include "tessera/io/tokenizer/companion_files.hpp"
#include "tessera/io/tokenizer/decoder.hpp"
#include "tessera/io/tokenizer/normalizer.hpp"
#include "tessera/io/tokenizer/post_processor.hpp"
#include "tessera/io/tokenizer/pre_tokenizer.hpp"
#include "tessera/io/tokenizer/sentencepiece_model.hpp"
#include "tessera/io/tokenizer/unicode.hpp"

namespace tessera::io {

/// A tokenizer as one value. All member functions are const and safe to call from several threads.
///
/// Encoding cuts the text at added tokens, normalizes each piece, cuts it into words, gives each word to the model and
/// puts special tokens around the result. `truncation` and `padding` of the file are ignored, as transformers does
/// unless asked for them. Text is UTF-8; an ill-formed byte counts as U+FFFD (the reference cannot be given one).
class Tokenizer {
 public:
  /// Reads `NAME.json`, `NAME/tokenizer.json`, `NAME.model` or `NAME/tokenizer.model` in `folder`, the first that
  /// exists. added_tokens.json, special_tokens_map.json and tokenizer_config.json beside it, where present, add the
  /// tokens that the main file lacks and name the begin and end tokens. Throws an Error that names the file.
  static Tokenizer from_folder(const std::filesystem::path& folder, std::string_view name = "tokenizer") {
    const std::filesystem::path base = folder / name;
    for (const char* suffix : {".json", "/tokenizer.json", ".model", "/tokenizer.model"}) {
      const std::filesystem::path path = base.string() + suffix;
      if (!std::filesystem::exists(path)) continue;
      // The companions' names say nothing about which tokenizer they describe: it is the one called "tokenizer".
      const auto companions = path.stem() == "tokenizer" ? CompanionFiles::read(path.parent_path()) : CompanionFiles{};
      const MappedFile file(path);
      return path.extension() == ".json" ? from_json(file.text(), path.string(), companions)
                                         : from_sentencepiece(file.text(), path.string(), companions);
    }
    fail(folder.string(), ": no tokenizer there, expected ", name, ".json or ", name, ".model");
  }

  /// Reads the text of a tokenizer.json. Errors start with `where`.
  static Tokenizer from_json(std::string_view text, const std::string& where, const CompanionFiles& companions = {}) {
    const json file = parse_json(text, where);
    if (const auto version = value_or<std::string>(file, "version", "1.0", where); version != "1.0")
      fail(where, ": version is ", in_quotes(version), ", expected 1.0");
    const auto part = [&](const char* key) { return file.contains(key) ? file[key] : json(); };
    Tokenizer result(model_from_json(file, where), Normalizer::from_json(part("normalizer"), where + ": normalizer"),
                     PreTokenizer::from_json(part("pre_tokenizer"), where + ": pre_tokenizer"),
                     PostProcessor::from_json(part("post_processor"), where + ": post_processor"),
                     Decoder::from_json(part("decoder"), where + ": decoder"));

    std::vector<AddedToken> tokens;
    const json added = part("added_tokens");
    if (!added.is_null() && !added.is_array()) fail(where, ": expected a list in the field 'added_tokens'");
    for (const json& token : added) tokens.push_back(AddedToken::from_json(token, where + ": added_tokens"));
    result.add_tokens(tokens);
    result.add_companions(companions, false, where);
    return result;
  }

  /// Reads the bytes of a SentencePiece `.model` of kind BPE, the original form of LLaMA's tokenizer. Errors start with
  /// `where`. Ids are SentencePiece's own; special tokens in the text are found as in the converted tokenizer.json.
  static Tokenizer from_sentencepiece(std::string_view bytes, const std::string& where,
                                      const CompanionFiles& companions = {}) {
    const SentencePieceModel model = SentencePieceModel::parse(bytes, where);
    if (model.kind != SentencePieceModel::Kind::bpe)
      fail(where, ": the SentencePiece model is not of kind BPE, others are not supported");
    if (!model.precompiled_charsmap.empty()) fail(where, ": has a precompiled_charsmap, which is not supported");
    if (!model.escape_whitespaces || model.whitespace_as_suffix)
      fail(where, ": expected escape_whitespaces and no treat_whitespace_as_suffix");

    const bool prefix_each_piece = model.add_dummy_prefix && companions.legacy;
    Tokenizer result(bpe_of(model, where), sentencepiece_normalizer(model, prefix_each_piece, where), PreTokenizer(),
                     PostProcessor(), sentencepiece_decoder(model));
    if (model.add_dummy_prefix && !companions.legacy)
      result.pre_tokenizer_ = PreTokenizer::metaspace(blank_mark, PrependScheme::first, false);

    using PieceKind = SentencePieceModel::PieceKind;
    for (int id = 0; const auto& [text, score, kind] : model.pieces) {
      // The library finds user-defined pieces in the normalized text. Control pieces it never finds; here they are
      // special.
      if (kind == PieceKind::user_defined) result.added_.add({.content = text, .normalized = true}, id, text);
      if (kind == PieceKind::control || kind == PieceKind::unknown)
        result.added_.add({.content = text, .special = true}, id, text);
      ++id;
    }
    result.add_companions(companions, true, where);
    if (!result.bos_) result.bos_ = result.id_of(model.bos_token);
    if (!result.eos_) result.eos_ = result.id_of(model.eos_token);
    if (companions.add_bos && result.bos_) result.post_processor_.before = {*result.bos_};
    if (companions.add_eos && result.eos_) result.post_processor_.after = {*result.eos_};
    return result;
  }

  /// The ids of a text, with the special tokens that the model expects around it unless `add_special_tokens` is false.
  std::vector<int> encode(std::string_view text, bool add_special_tokens = true) const {
    std::string repaired;
    if (find_invalid_utf8(text) != text.size()) text = repaired = valid_utf8(text);
    std::vector<int> ids;
    if (add_special_tokens) ids = post_processor_.before;
    std::visit([&](const auto& model) { encode_with(model, text, ids); }, model_);
    if (add_special_tokens) ids.insert(ids.end(), post_processor_.after.begin(), post_processor_.after.end());
    return ids;
  }

  /// The text of ids. Ids without a token (a model's embedding may have more rows than its tokenizer) give nothing.
  std::string decode(std::span<const int> ids, bool skip_special_tokens = true) const;

  /// The id of a token, written as in the vocabulary ("▁the", "<image>").
  std::optional<int> id_of(std::string_view token) const {
    if (const auto id = added_.id_of(token)) return id;
    return vocabulary().id_of(token);
  }

  /// The token of an id, as in the vocabulary; empty if there is none.
  std::string_view token(int id) const {
    if (const AddedToken* added = added_.find(id)) return added->content;
    return vocabulary().token(id);
  }

  /// One more than the largest id.
  int size() const { return std::max(vocabulary().id_bound(), added_.largest_id() + 1); }

  std::optional<int> bos_id() const { return bos_; }
  std::optional<int> eos_id() const { return eos_; }
  std::optional<int> unk_id() const { return unknown_; }

 private:
  friend class TokenStream;
  // Each kind of model has a vocabulary(), an unknown() and an encode(word, ids, scratch).
  using Model = std::variant<Bpe>;
  static constexpr const char* blank_mark = "▁";

  Tokenizer(Model model, Normalizer normalizer, PreTokenizer pre_tokenizer, PostProcessor post_processor,
            Decoder decoder)
      : model_(std::move(model)),
        normalizer_(std::move(normalizer)),
        pre_tokenizer_(std::move(pre_tokenizer)),
        post_processor_(std::move(post_processor)),
        decoder_(std::move(decoder)),
        unknown_(std::visit([](const auto& kind) { return kind.unknown(); }, model_)) {}

  static Model model_from_json(const json& file, const std::string& where) {
    const auto model = file.find("model");
    if (model == file.end() || !model->is_object()) fail(where, ": expected an object in the field 'model'");
    const auto type = value_or<std::string>(*model, "type", "BPE", where + ": model");
    if (type == "BPE") return Bpe::from_json(*model, where + ": model");
    fail(where, ": the model ", in_quotes(type), " is not supported");
  }

  static Normalizer sentencepiece_normalizer(const SentencePieceModel& model, bool prefix, const std::string& where) {
    std::vector<Normalizer::Step> steps;
    if (model.remove_extra_whitespaces) {
      steps.push_back(Normalizer::Replace{Replacement(Regex("^ +| +$", where), "")});
      steps.push_back(Normalizer::Replace{Replacement(Regex(" {2,}", where), " ")});
    }
    if (prefix) steps.push_back(Normalizer::Prepend{blank_mark});
    steps.push_back(Normalizer::Replace{Replacement(" ", blank_mark)});
    return Normalizer(std::move(steps));
  }

  static Decoder sentencepiece_decoder(const SentencePieceModel& model) {
    std::vector<Decoder::Step> steps = {Decoder::Replace{Replacement(blank_mark, " ")}, Decoder::ByteFallback{}};
    if (model.add_dummy_prefix) steps.push_back(Decoder::StripTextStart{" ", 1});
    return Decoder(std::move(steps));
  }

  const Vocabulary& vocabulary() const {
    return std::visit([](const auto& model) -> const Vocabulary& { return model.vocabulary(); }, model_);
  }

  // The rule of the reference: the stored ids do not count, a token that the model lacks gets the next free one.
  void add_tokens(const std::vector<AddedToken>& tokens) {
    int next_id = std::max(vocabulary().count(), added_.largest_id() + 1);
    // Of equal contents the first gives the place and the last the flags.
    std::unordered_map<std::string_view, const AddedToken*> last;
    for (const AddedToken& token : tokens) last[token.content] = &token;
    for (const AddedToken& first : tokens) {
      if (first.content.empty() || added_.id_of(first.content)) continue;
      const AddedToken& token = *last.at(first.content);
      const auto known = vocabulary().id_of(token.content);
      added_.add(token, known ? *known : next_id++, token.normalized ? normalizer_(token.content) : token.content);
    }
  }

  void add_companions(const CompanionFiles& companions, bool ids_count, const std::string& where) {
    for (const auto& [token, id] : companions.tokens) {
      if (added_.id_of(token.content)) continue;
      if (!ids_count || !id || vocabulary().id_of(token.content)) {
        add_tokens({token});
        continue;
      }
      if (*id < 0 || *id >= max_token_id || !this->token(*id).empty())
        fail(where, ": the added token ", in_quotes(token.content), " has id ", *id, ", which is ",
             *id < 0 || *id >= max_token_id ? "out of range" : "taken");
      added_.add(token, *id, token.normalized ? normalizer_(token.content) : token.content);
    }
    bos_ = id_of(companions.bos.value_or("<s>"));
    eos_ = id_of(companions.eos.value_or("</s>"));
    if (companions.unknown) unknown_ = id_of(*companions.unknown);
  }

  template <class AnyModel>
  void encode_with(const AnyModel& model, std::string_view text, std::vector<int>& ids) const {
    typename AnyModel::Scratch scratch;
    const auto add_id = [&](int id) { ids.push_back(id); };
    const auto encode_word = [&](std::string_view word, bool) { model.encode(word, ids, scratch); };
    added_.split(text, false, add_id, [&](std::string_view raw, std::size_t raw_offset) {
      const std::string normalized = normalizer_(std::string(raw));
      added_.split(normalized, true, add_id, [&](std::string_view piece, std::size_t offset) {
        pre_tokenizer_(std::string(piece), raw_offset + offset == 0).for_each(encode_word);
      });
    });
  }

  Model model_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  PostProcessor post_processor_;
  Decoder decoder_;
  AddedTokens added_;
  std::optional<int> bos_, eos_, unknown_;
};

/// Decodes ids one at a time, for printing while a model generates. The texts that push() and finish() return, joined,
/// are what Tokenizer::decode gives for all ids; each is complete UTF-8. Byte tokens wait until a run of them ends,
/// since only the whole run says whether it is text.
class TokenStream {
 public:
  /// The tokenizer must outlive the stream.
  explicit TokenStream(const Tokenizer& tokenizer, bool skip_special_tokens = true)
      : tokenizer_(&tokenizer), decoder_(tokenizer.decoder_), skip_special_tokens_(skip_special_tokens) {}

  std::string push(int id) {
    const AddedToken* added = tokenizer_->added_.find(id);
    if (added != nullptr)
      return added->special && skip_special_tokens_ ? "" : decoder_.push(tokenizer_->added_.decoded(id));
    const std::string_view token = tokenizer_->vocabulary().token(id);
    return token.empty() ? "" : decoder_.push(token);
  }

  std::string finish() { return decoder_.finish(); }

 private:
  const Tokenizer* tokenizer_;
  Decoder decoder_;
  bool skip_special_tokens_;
};

inline std::string Tokenizer::decode(std::span<const int> ids, bool skip_special_tokens) const {
  TokenStream stream(*this, skip_special_tokens);
  std::string text;
  for (const int id : ids) text += stream.push(id);
  return text + stream.finish();
}

}  // namespace tessera::io

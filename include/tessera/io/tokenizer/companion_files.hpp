#pragma once
/// The small JSON files beside a tokenizer: added_tokens.json, special_tokens_map.json, tokenizer_config.json.

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/json.hpp"
#include "tessera/io/tokenizer/added_tokens.hpp"
#include "tessera/io/tokenizer/vocabulary.hpp"

namespace tessera::io {

/// What these files say; every one of them may be absent.
struct CompanionFiles {
  struct DeclaredToken {
    AddedToken token;
    std::optional<int> id;
  };

  std::vector<DeclaredToken> tokens;  ///< added and special tokens, by id where the file gives one
  std::optional<std::string> bos, eos, unknown;
  bool legacy = true;  ///< a blank is put in front of each piece of text, not just of the first
  bool add_bos = true, add_eos = false;

  static CompanionFiles read(const std::filesystem::path& folder);
};

namespace detail {

/// Collects what the files declare, in any order.
class CompanionReader {
 public:
  void read_config(const json& config, const std::string& where) {
    result_.legacy = value_or(config, "legacy", true, where);
    result_.add_bos = value_or(config, "add_bos_token", true, where);
    result_.add_eos = value_or(config, "add_eos_token", false, where);
    if (const auto decoder = config.find("added_tokens_decoder"); decoder != config.end() && decoder->is_object())
      for (const auto& [id, token] : decoder->items())
        declare(AddedToken::from_json(token, where + ": added_tokens_decoder"), parse_id(id, where));
  }

  void read_added_tokens(const json& ids, const std::string& where) {
    if (!ids.is_object()) fail(where, ": expected a JSON object");
    for (const auto& [content, id] : ids.items()) {
      check_token_length(content, where);
      declare({.content = content}, json_as<int>(id, where));
    }
  }

  // A special token is written as its text or as an object that also has the flags of an added token.
  void read_special_tokens(const json& names, const std::string& where) {
    if (!names.is_object()) fail(where, ": expected a JSON object");
    const auto declare_special = [&](const json& token) -> std::string {
      AddedToken added =
          token.is_string() ? AddedToken{.content = token.get<std::string>()} : AddedToken::from_json(token, where);
      check_token_length(added.content, where);
      std::string content = added.content;
      declare(std::move(added), std::nullopt).token.special = true;
      return content;
    };
    const auto single = [&](const char* name, std::optional<std::string>& content) {
      if (const auto token = names.find(name); token != names.end() && !token->is_null()) {
        auto declared = declare_special(*token);
        if (!content) content = std::move(declared);
      }
    };
    single("bos_token", result_.bos);
    single("eos_token", result_.eos);
    single("unk_token", result_.unknown);
    std::optional<std::string> padding;
    single("pad_token", padding);
    if (const auto others = names.find("additional_special_tokens"); others != names.end() && others->is_array())
      for (const json& token : *others) declare_special(token);
  }

  CompanionFiles result() && {
    std::ranges::stable_sort(result_.tokens, {},
                             [](const auto& declared) { return declared.id.value_or(max_token_id); });
    return std::move(result_);
  }

 private:
  static int parse_id(const std::string& text, const std::string& where) {
    int id = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (error != std::errc() || end != text.data() + text.size())
      fail(where, ": added_tokens_decoder has the key ", in_quotes(text), ", expected an id");
    return id;
  }

  /// The first declaration of a content counts.
  CompanionFiles::DeclaredToken& declare(AddedToken token, std::optional<int> id) {
    const auto [place, is_new] = places_.try_emplace(token.content, result_.tokens.size());
    if (is_new) result_.tokens.push_back({std::move(token), id});
    return result_.tokens[place->second];
  }

  CompanionFiles result_;
  std::unordered_map<std::string, std::size_t> places_;  // of a content among the tokens
};

}  // namespace detail

inline CompanionFiles CompanionFiles::read(const std::filesystem::path& folder) {
  detail::CompanionReader reader;
  const auto read_if_there = [&](const char* name, auto use) {
    const auto path = folder / name;
    if (std::filesystem::exists(path)) (reader.*use)(read_json_file(path), path.string());
  };
  read_if_there("tokenizer_config.json", &detail::CompanionReader::read_config);
  read_if_there("added_tokens.json", &detail::CompanionReader::read_added_tokens);
  read_if_there("special_tokens_map.json", &detail::CompanionReader::read_special_tokens);
  read_if_there("tokenizer_config.json", &detail::CompanionReader::read_special_tokens);
  return std::move(reader).result();
}

}  // namespace tessera::io

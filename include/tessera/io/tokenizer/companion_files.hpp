#pragma once
/// The small JSON files beside a tokenizer: added_tokens.json, special_tokens_map.json, tokenizer_config.json.

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/json.hpp"
#include "tessera/io/tokenizer/vocabulary.hpp"
#include "tessera/io/tokenizer/added_tokens.hpp"

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

  static CompanionFiles read(const std::filesystem::path& folder) {
    CompanionFiles result;
    const auto read_if_there = [&](const char* name, auto use) {
      const auto path = folder / name;
      if (std::filesystem::exists(path)) use(read_json_file(path), path.string());
    };
    read_if_there("tokenizer_config.json", [&](const json& config, const std::string& where) {
      result.legacy = value_or(config, "legacy", true, where);
      result.add_bos = value_or(config, "add_bos_token", true, where);
      result.add_eos = value_or(config, "add_eos_token", false, where);
      if (const auto decoder = config.find("added_tokens_decoder"); decoder != config.end() && decoder->is_object())
        for (const auto& [id, token] : decoder->items())
          result.declare(AddedToken::from_json(token, where + ": added_tokens_decoder"), parse_id(id, where));
    });
    read_if_there("added_tokens.json", [&](const json& ids, const std::string& where) {
      if (!ids.is_object()) fail(where, ": expected a JSON object");
      for (const auto& [content, id] : ids.items()) result.declare({.content = content}, json_as<int>(id, where));
    });
    for (const char* name : {"special_tokens_map.json", "tokenizer_config.json"})
      read_if_there(name,
                    [&](const json& names, const std::string& where) { result.read_special_tokens(names, where); });
    std::ranges::stable_sort(result.tokens, {},
                             [](const DeclaredToken& declared) { return declared.id.value_or(max_token_id); });
    return result;
  }

 private:
  static int parse_id(const std::string& text, const std::string& where) {
    int id = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (error != std::errc() || end != text.data() + text.size())
      fail(where, ": added_tokens_decoder has the key ", in_quotes(text), ", expected an id");
    return id;
  }

  DeclaredToken& declare(AddedToken token, std::optional<int> id) {
    const auto old =
        std::ranges::find(tokens, token.content, [](const DeclaredToken& declared) { return declared.token.content; });
    if (old != tokens.end()) return *old;
    tokens.push_back({std::move(token), id});
    return tokens.back();
  }

  // A special token is written as its text or as an object that also has the flags of an added token.
  void read_special_tokens(const json& names, const std::string& where) {
    if (!names.is_object()) fail(where, ": expected a JSON object");
    const auto declare_special = [&](const json& token) -> std::string {
      AddedToken added =
          token.is_string() ? AddedToken{.content = token.get<std::string>()} : AddedToken::from_json(token, where);
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
    single("bos_token", bos);
    single("eos_token", eos);
    single("unk_token", unknown);
    std::optional<std::string> padding;
    single("pad_token", padding);
    if (const auto others = names.find("additional_special_tokens"); others != names.end() && others->is_array())
      for (const json& token : *others) declare_special(token);
  }
};

}  // namespace tessera::io

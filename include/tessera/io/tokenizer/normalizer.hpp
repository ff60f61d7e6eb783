#pragma once
/// The normalizers of tokenizer.json: what happens to a text before it is cut into tokens.

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

/// A chain of normalization steps, each a function of the whole piece of text. An empty chain changes nothing.
class Normalizer {
 public:
  struct Prepend {
    std::string prefix;
    std::string operator()(std::string text) const { return text.empty() ? text : prefix + text; }
  };
  struct Replace {
    Replacement replacement;
    std::string operator()(std::string text) const { return replacement.apply(text); }
  };
  struct Form {
    NormalForm form;
    std::string operator()(std::string text) const { return normal_form(text, form); }
  };
  struct Lowercase {
    std::string operator()(std::string text) const { return lowercase(text); }
  };
  struct StripAccents {
    std::string operator()(const std::string& text) const {
      std::string result;
      for (std::size_t i = 0, length = 0; i < text.size(); i += length) {
        length = utf8_length(text, i);
        if (!is_combining_mark(utf8_at(text, i))) result.append(text, i, length);
      }
      return result;
    }
  };
  struct Strip {
    bool left, right;
    std::string operator()(std::string text) const {
      std::size_t begin = 0, end = text.size();
      while (left && begin < end && is_whitespace(utf8_at(text, begin))) begin += utf8_length(text, begin);
      while (right && begin < end && is_whitespace(utf8_at(text, utf8_start_before(text, end))))
        end = utf8_start_before(text, end);
      return text.substr(begin, end - begin);
    }
  };
  using Step = std::variant<Prepend, Replace, Form, Lowercase, StripAccents, Strip>;

  Normalizer() = default;
  explicit Normalizer(std::vector<Step> steps) : steps_(std::move(steps)) {}

  /// Reads the field `normalizer`; null gives the empty chain.
  static Normalizer from_json(const json& object, const std::string& where) {
    Normalizer result;
    if (!object.is_null()) result.append(object, where);
    return result;
  }

  /// `text`, valid UTF-8, after all steps.
  std::string operator()(std::string text) const {
    for (const Step& step : steps_)
      text = std::visit([&](const auto& normalize) { return normalize(std::move(text)); }, step);
    return text;
  }

 private:
  void append(const json& object, const std::string& where) {
    const auto type = require<std::string>(object, "type", where);
    if (type == "Sequence") {
      const auto steps = object.find("normalizers");
      if (steps == object.end() || !steps->is_array()) fail(where, ": expected a list in the field 'normalizers'");
      for (const json& step : *steps) append(step, where);
    } else if (type == "Prepend") {
      steps_.push_back(Prepend{require<std::string>(object, "prepend", where)});
    } else if (type == "Replace") {
      steps_.push_back(Replace{Replacement::from_json(object, where)});
    } else if (type == "NFC") {
      steps_.push_back(Form{NormalForm::nfc});
    } else if (type == "NFD") {
      steps_.push_back(Form{NormalForm::nfd});
    } else if (type == "NFKC") {
      steps_.push_back(Form{NormalForm::nfkc});
    } else if (type == "NFKD") {
      steps_.push_back(Form{NormalForm::nfkd});
    } else if (type == "Lowercase") {
      steps_.push_back(Lowercase{});
    } else if (type == "StripAccents") {
      steps_.push_back(StripAccents{});
    } else if (type == "Strip") {
      steps_.push_back(Strip{require<bool>(object, "strip_left", where), require<bool>(object, "strip_right", where)});
    } else {
      fail(where, ": the normalizer ", in_quotes(type), " is not supported");
    }
  }

  std::vector<Step> steps_;
};

}  // namespace tessera::io

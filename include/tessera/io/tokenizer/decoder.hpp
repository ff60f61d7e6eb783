#pragma once
/// The decoders of tokenizer.json: from tokens back to text, token by token.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/json.hpp"
#include "tessera/io/tokenizer/pre_tokenizer.hpp"
#include "tessera/io/tokenizer/replacement.hpp"
#include "tessera/io/tokenizer/unicode.hpp"

namespace tessera::io {

/// A chain of steps with memory. Each step takes tokens and hands on tokens as soon as later ones cannot change them,
/// so a copy of a fresh decoder is one stream, and decoding at once and streaming cannot differ.
class Decoder {
 public:
  struct Replace {
    Replacement replacement;
    template <class Next>
    void push(std::string token, Next next) {
      next(replacement.apply(token));
    }
    template <class Next>
    void finish(Next) {}
  };

  /// `<0xHH>` tokens become their bytes. A run of them that is not UTF-8 as a whole gives a U+FFFD for each byte, so a
  /// run has to wait for its end.
  struct ByteFallback {
    std::string run;
    template <class Next>
    void push(std::string token, Next next) {
      if (const auto byte = byte_of(token)) {
        run += *byte;
      } else {
        finish(next);
        next(std::move(token));
      }
    }
    template <class Next>
    void finish(Next next) {
      if (run.empty()) return;
      if (find_invalid_utf8(run) == run.size()) {
        next(std::move(run));
      } else {
        for (std::size_t i = 0; i < run.size(); ++i) next(std::string(replacement_character));
      }
      run.clear();
    }

   private:
    static std::optional<char> byte_of(std::string_view token) {
      if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return std::nullopt;
      int value = 0;
      for (const char c : token.substr(3, 2)) {
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) return std::nullopt;
        value = 16 * value + digit;
      }
      return static_cast<char>(static_cast<unsigned char>(value));
    }
  };

  /// Joins all tokens into one for the steps that follow.
  struct Fuse {
    std::string text;
    template <class Next>
    void push(const std::string& token, Next) {
      text += token;
    }
    template <class Next>
    void finish(Next next) {
      next(std::move(text));
      text.clear();
    }
  };

  /// Takes up to `start` and `stop` copies of a character off the two ends of each token.
  struct Strip {
    std::string content;
    std::size_t start, stop;
    template <class Next>
    void push(const std::string& token, Next next) {
      std::string_view rest = token;
      for (std::size_t i = 0; i < start && rest.starts_with(content); ++i) rest.remove_prefix(content.size());
      for (std::size_t i = 0; i < stop && rest.ends_with(content); ++i) rest.remove_suffix(content.size());
      next(std::string(rest));
    }
    template <class Next>
    void finish(Next) {}
  };

  /// Fuse and then Strip at the start only: the same, but nothing has to wait for the end.
  struct StripTextStart {
    std::string content;
    std::size_t remaining;
    template <class Next>
    void push(const std::string& token, Next next) {
      std::string_view rest = token;
      for (; remaining > 0 && rest.starts_with(content); --remaining) rest.remove_prefix(content.size());
      if (!rest.empty()) remaining = 0;
      next(std::string(rest));
    }
    template <class Next>
    void finish(Next) {}
  };

  /// Marks become blanks; those of the first token go if encoding could have put one there.
  struct Metaspace {
    std::string mark;
    Replacement mark_to_blank, mark_to_nothing;
    bool first_token = false;
    template <class Next>
    void push(const std::string& token, Next next) {
      next((std::exchange(first_token, false) ? mark_to_nothing : mark_to_blank).apply(token));
    }
    template <class Next>
    void finish(Next) {}
  };

  /// What a tokenizer without decoder does: blanks between the tokens.
  struct JoinWithBlanks {
    bool first_token = true;
    template <class Next>
    void push(const std::string& token, Next next) {
      next(std::exchange(first_token, false) ? token : " " + token);
    }
    template <class Next>
    void finish(Next) {}
  };
  using Step = std::variant<Replace, ByteFallback, Fuse, Strip, StripTextStart, Metaspace, JoinWithBlanks>;

  explicit Decoder(std::vector<Step> steps) : steps_(std::move(steps)) {}

  /// Reads the field `decoder`; null joins with blanks.
  static Decoder from_json(const json& object, const std::string& where) {
    Decoder result({});
    if (object.is_null()) {
      result.steps_.push_back(JoinWithBlanks{});
    } else {
      result.append(object, where);
      result.avoid_waiting();
    }
    return result;
  }

  /// The next token; returns the text that is certain now, valid UTF-8.
  std::string push(std::string_view token) {
    std::string text;
    run(0, std::string(token), text);
    return text;
  }

  /// The end of the tokens; returns the text that had to wait for it.
  std::string finish() {
    std::string text;
    for (std::size_t i = 0; i < steps_.size(); ++i)
      std::visit([&](auto& step) { step.finish([&](std::string token) { run(i + 1, std::move(token), text); }); },
                 steps_[i]);
    return text;
  }

 private:
  void run(std::size_t index, std::string token, std::string& text) {
    if (index == steps_.size()) {
      text += token;
    } else {
      const auto next = [&](std::string result) { run(index + 1, std::move(result), text); };
      std::visit([&](auto& step) { step.push(std::move(token), next); }, steps_[index]);
    }
  }

  void append(const json& object, const std::string& where) {
    const auto type = require<std::string>(object, "type", where);
    if (type == "Sequence") {
      const auto steps = object.find("decoders");
      if (steps == object.end() || !steps->is_array()) fail(where, ": expected a list in the field 'decoders'");
      for (const json& step : *steps) append(step, where);
    } else if (type == "Replace") {
      steps_.push_back(Replace{Replacement::from_json(object, where)});
    } else if (type == "ByteFallback") {
      steps_.push_back(ByteFallback{});
    } else if (type == "Fuse") {
      steps_.push_back(Fuse{});
    } else if (type == "Strip") {
      auto content = require<std::string>(object, "content", where);
      if (content.empty() || utf8_length(content, 0) != content.size())
        fail(where, ": Strip has the content ", in_quotes(content), ", expected one character");
      const auto count = [&](const char* field) { return std::size_t{require<std::uint32_t>(object, field, where)}; };
      steps_.push_back(Strip{std::move(content), count("start"), count("stop")});
    } else if (type == "Metaspace") {
      const std::string mark = metaspace_mark(object, where);
      steps_.push_back(Metaspace{mark, Replacement(mark, " "), Replacement(mark, ""),
                                 prepend_scheme_from_json(object, where) != PrependScheme::never});
    } else {
      fail(where, ": the decoder ", in_quotes(type), " is not supported");
    }
  }

  void avoid_waiting() {
    for (std::size_t i = 0; i + 1 < steps_.size(); ++i) {
      const auto* strip = std::get_if<Strip>(&steps_[i + 1]);
      if (std::holds_alternative<Fuse>(steps_[i]) && strip != nullptr && strip->stop == 0 && i + 2 == steps_.size()) {
        steps_[i] = StripTextStart{strip->content, strip->start};
        steps_.pop_back();
      }
    }
    if (!steps_.empty() && std::holds_alternative<Fuse>(steps_.back())) steps_.pop_back();
  }

  std::vector<Step> steps_;
};

}  // namespace tessera::io

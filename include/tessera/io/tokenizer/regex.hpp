#pragma once
/// Regular expressions of tokenizer files: Perl syntax with Unicode classes, through PCRE2.

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include <pcre2.h>

#include "tessera/core/error.hpp"

namespace tessera::io {

/// A compiled pattern. Copies share the compiled code; matching from several threads is safe.
class Regex {
 public:
  /// Throws an Error that starts with `where` if PCRE2 does not understand the pattern.
  Regex(std::string_view pattern, std::string_view where) : pattern_(pattern) {
    int error = 0;
    PCRE2_SIZE position = 0;
    // \s, \w, \d and \p follow Unicode, as in the Oniguruma engine that wrote these files.
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF | PCRE2_UCP,
                              &error, &position, nullptr),
                pcre2_code_free);
    if (!code_)
      fail(where, ": the regular expression '", pattern, "' is not valid at byte ", position, ": ", message(error));
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // without it matching is slower, not different
  }

  /// Calls visit(begin, end) for each match from left to right in valid UTF-8. An empty match right after another
  /// match does not count.
  template <class Visit>
  void for_each_match(std::string_view text, Visit visit) const {
    const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(
        pcre2_match_data_create_from_pattern(code_.get(), nullptr), pcre2_match_data_free);
    std::size_t from = 0, last_end = text.npos;
    while (from <= text.size()) {
      const int count = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                                    PCRE2_NO_UTF_CHECK, match.get(), nullptr);
      if (count == PCRE2_ERROR_NOMATCH) return;
      if (count < 0) fail("the regular expression '", pattern_, "' failed on a text: ", message(count));
      const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(match.get());
      const std::size_t begin = bounds[0], end = bounds[1];
      if (begin < from || begin > end)
        fail("the regular expression '", pattern_, "' moves a match with \\K, which is not supported");
      if (begin < end || begin != last_end) visit(begin, end);
      last_end = end;
      from = end > begin ? end : end + 1;
      while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xC0) == 0x80) ++from;
    }
  }

 private:
  static std::string message(int error) {
    PCRE2_UCHAR text[256];
    pcre2_get_error_message(error, text, sizeof text);
    return reinterpret_cast<const char*>(text);
  }

  std::string pattern_;
  std::shared_ptr<pcre2_code> code_;
};

}  // namespace tessera::io

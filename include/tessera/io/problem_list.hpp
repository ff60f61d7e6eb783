#pragma once
/// All that is wrong with a file, as one Error.

#include <cstddef>
#include <string>
#include <string_view>

#include "tessera/core/error.hpp"

namespace tessera::io {

/// `text` in single quotes for a message: control characters become '?', a long text is cut.
inline std::string in_quotes(std::string_view text) {
  constexpr std::size_t longest = 120;
  std::string result = "'";
  for (const char c : text.substr(0, longest)) result += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return result + (text.size() > longest ? "…'" : "'");
}

/// Many problems as the one sentence of an Error.
class ProblemList {
 public:
  void add(std::string_view problem) { text_.append(text_.empty() ? "" : "; ").append(problem); }

  /// Throws an Error that starts with `where` and lists all problems, if there are any.
  void throw_if_any(std::string_view where) const {
    if (!text_.empty()) fail(where, ": ", text_);
  }

 private:
  std::string text_;
};

}  // namespace tessera::io

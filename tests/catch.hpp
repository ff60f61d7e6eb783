#pragma once
// Catch2 version 2 (Debian 12) and version 3 (newer releases) under the same names.

#include <string>

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif

namespace tessera::test {

/// Matchers of texts, for CHECK_THAT and CHECK_THROWS_WITH.
inline auto contains(const std::string& text) {
#if __has_include(<catch2/catch_all.hpp>)
  return Catch::Matchers::ContainsSubstring(text);
#else
  return Catch::Matchers::Contains(text);
#endif
}
inline auto starts_with(const std::string& text) { return Catch::Matchers::StartsWith(text); }

}  // namespace tessera::test

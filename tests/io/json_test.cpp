#include "tessera/io/json.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/errors.hpp"

using namespace tessera;
using test::contains;
using test::starts_with;

namespace {

void check_refused(std::string_view text, const std::string& expected) {
  CAPTURE(text);
  CHECK_THROWS_WITH(io::parse_json(text, "config.json"), starts_with("config.json: ") && contains(expected));
}

}  // namespace

TEST_CASE("valid JSON is read") {
  const io::json value = io::parse_json(" {\"a\": [1, -2.5, true, null], \"b\": {\"a\": \"\\u00e9\xC3\xA9\"}}\n", "x");
  CHECK(value["a"].size() == 4);
  CHECK(value["b"]["a"] == "éé");
}

TEST_CASE("what is not valid JSON is refused with its position") {
  check_refused("", "line 1, column 1");
  check_refused("{\"a\": 1,\n \"b\": }", "line 2, column 7");
  check_refused("{\"a\": 1} x", "column 10");
  check_refused("{\"a\": 1}{}", "column 9");
  check_refused("{\"a\": 1,}", "column 9");
  check_refused("[1, 2", "unexpected end of input");
  check_refused("{'a': 1}", "column 2");
  check_refused("// comment\n{}", "column 1");
  check_refused("[NaN]", "invalid literal");
  check_refused("[01]", "column 3");
  check_refused("[1e999]", "number overflow");
  check_refused("[\"\n\"]", "control character");
}

TEST_CASE("invalid UTF-8 and lone surrogates are refused") {
  check_refused("[\"\xFF\"]", "UTF-8");
  check_refused("[\"\xC0\xAF\"]", "UTF-8");
  check_refused("[\"\xED\xA0\x80\"]", "UTF-8");
  check_refused("[\"\\ud800\"]", "surrogate");
}

TEST_CASE("a NUL does not hide what follows") { check_refused(std::string_view("{}\0garbage", 10), "NUL at byte 2"); }

TEST_CASE("a key that is given twice in one object is named") {
  check_refused(R"({"a": 1, "b": {"c": 1, "d": 2, "c": 3}})", "'c' twice");
  check_refused(R"({"a": 1, "\u0061": 2})", "'a' twice");
  CHECK_NOTHROW(io::parse_json(R"([{"a": 1}, {"a": {"a": 2}}])", "x"));
}

TEST_CASE("nesting and size are limited") {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK_NOTHROW(io::parse_json(nested(64), "x"));
  check_refused(nested(65), "deeper than 64 levels");
  check_refused(std::string(10'000'000, '['), "deeper than 64 levels");
  CHECK_NOTHROW(io::parse_json("[[{}]]", "x", {.depth = 3}));
  CHECK_THROWS_WITH(io::parse_json("[[{}]]", "x", {.depth = 2}), contains("deeper than 2 levels"));
  CHECK_THROWS_WITH(io::parse_json("[1,2,3]", "x", {.bytes = 6}), contains("7 bytes, expected at most 6"));
}

TEST_CASE("a long list of objects takes time that grows with its length") {
  std::string text = "[{}";
  for (int i = 1; i < 500'000; ++i) text += ",{}";
  CHECK(io::parse_json(text + "]", "x").size() == 500'000);  // a quadratic loop would take minutes here
}

TEST_CASE("messages show neither control characters nor endless names") {
  CHECK(io::in_quotes("a\x1b[31m\nb") == "'a?[31m?b'");
  CHECK(io::in_quotes(std::string(5000, 'x')).size() < 130);
  const std::string message = test::error_message([] { io::parse_json("[1e" + std::string(100'000, '9') + "]", "x"); });
  CHECK(!message.empty());
  CHECK(message.size() < 300);
}

TEST_CASE("typed fields are checked") {
  const io::json config = io::parse_json(
      R"({"i": 7, "big": 3000000000, "minus": -1, "f": 1.5, "b": true, "s": "x", "v": [1, 2], "none": null})", "x");
  CHECK(io::require<int>(config, "i", "config.json") == 7);
  CHECK(io::require<std::int64_t>(config, "big", "config.json") == 3'000'000'000);
  CHECK(io::require<double>(config, "f", "config.json") == 1.5);
  CHECK(io::require<float>(config, "i", "config.json") == 7.0f);
  CHECK(io::require<bool>(config, "b", "config.json"));
  CHECK(io::require<std::string>(config, "s", "config.json") == "x");
  CHECK(io::require<std::vector<int>>(config, "v", "config.json") == std::vector<int>{1, 2});
  CHECK(io::value_or(config, "i", 3, "config.json") == 7);
  CHECK(io::value_or(config, "missing", 3, "config.json") == 3);
  CHECK(io::value_or(config, "none", 3, "config.json") == 3);

  CHECK_THROWS_WITH(io::require<int>(config, "missing", "config.json"), "config.json: the field 'missing' is missing");
  CHECK_THROWS_WITH(io::require<int>(config, "none", "config.json"), contains("none: 'null' found"));
  CHECK_THROWS_WITH(io::require<int>(config, "f", "config.json"), "config.json: f: '1.5' found, expected an integer");
  CHECK_THROWS_WITH(io::require<int>(config, "big", "config.json"), contains("3000000000 is out of range"));
  CHECK_THROWS_WITH(io::require<unsigned>(config, "minus", "config.json"), contains("-1 is out of range"));
  CHECK_THROWS_WITH(io::require<bool>(config, "i", "config.json"), contains("expected true or false"));
  CHECK_THROWS_WITH(io::require<std::string>(config, "i", "config.json"), contains("expected a string"));
  CHECK_THROWS_WITH(io::require<std::vector<int>>(config, "i", "config.json"), contains("expected an array"));
  CHECK_THROWS_WITH(io::value_or(config, "s", 3, "config.json"), contains("'\"x\"' found, expected an integer"));
  CHECK_THROWS_WITH(io::require<int>(io::json::array(), "i", "config.json"), contains("expected a JSON object"));
}

TEST_CASE("a number that is too large for its type is refused") {
  const io::json config = io::parse_json(R"({"f": 1e300, "g": -1e39, "h": 3e38})", "x");
  CHECK_THROWS_WITH(io::require<float>(config, "f", "c.json"), "c.json: f: 1e+300 is out of range");
  CHECK_THROWS_WITH(io::require<float>(config, "g", "c.json"), contains("out of range"));
  CHECK(io::require<float>(config, "h", "c.json") == 3e38f);
  CHECK(io::require<double>(config, "f", "c.json") == 1e300);
}

TEST_CASE("a field may hold one integer or a list") {
  const io::json config =
      io::parse_json(R"({"one": 2, "list": [2, -3], "none": null, "text": "2", "mixed": [2, "3"]})", "x");
  CHECK(io::int_or_list(config, "one", "c.json") == std::vector<int>{2});
  CHECK(io::int_or_list(config, "list", "c.json") == std::vector<int>{2, -3});
  CHECK(io::int_or_list(config, "none", "c.json").empty());
  CHECK(io::int_or_list(config, "missing", "c.json").empty());
  CHECK_THROWS_WITH(io::int_or_list(config, "text", "c.json"),
                    contains("c.json: text: ") && contains("expected an integer"));
  CHECK_THROWS_WITH(io::int_or_list(config, "mixed", "c.json"), contains("c.json: mixed: "));
}

TEST_CASE("a JSON file that cannot be read is named") {
  CHECK_THROWS_WITH(io::read_json_file("/nonexistent/config.json"),
                    starts_with("/nonexistent/config.json: cannot be opened"));
  CHECK_THROWS_WITH(io::read_json_file("/"), contains("is a folder"));
  CHECK_THROWS_WITH(io::read_json_file("/dev/null"), contains("not a regular file"));
}

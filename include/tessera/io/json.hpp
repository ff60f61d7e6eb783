#pragma once
/// Strict JSON from untrusted files, and typed access to its fields.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "tessera/core/error.hpp"
#include "tessera/io/mapped_file.hpp"
#include "tessera/io/problem_list.hpp"

namespace tessera::io {

using json = nlohmann::json;

/// What parse_json accepts at most.
struct JsonLimits {
  std::size_t bytes = std::size_t{256} << 20;
  int depth = 64;  ///< arrays and objects inside each other
};

namespace detail {

// "[json.exception.parse_error.101] parse error at line 1, column 2: …; last read: 'x'" without the machine's parts.
inline std::string readable_reason(std::string_view message) {
  if (const auto end = message.find("] "); message.starts_with('[') && end != message.npos)
    message.remove_prefix(end + 2);
  return std::string(message.substr(0, std::min(message.find("; last read"), std::size_t{200})));
}

// Follows the parser through a text and builds nothing, so that a hostile one is refused before it takes memory.
class StrictJsonEvents final : public nlohmann::json_sax<json> {
 public:
  StrictJsonEvents(std::string_view where, int depth_limit) : where_(where), depth_limit_(depth_limit) {}

  bool start_object(std::size_t) override {
    keys_.emplace_back();
    return start_array(0);
  }
  bool start_array(std::size_t) override {
    if (++depth_ > depth_limit_) fail(where_, ": JSON is nested deeper than ", depth_limit_, " levels");
    return true;
  }
  bool key(std::string& key) override {
    if (!keys_.back().insert(key).second) fail(where_, ": JSON has the key ", in_quotes(key), " twice in one object");
    return true;
  }
  bool end_object() override {
    keys_.pop_back();
    return end_array();
  }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    fail(where_, ": not valid JSON: ", readable_reason(error.what()));
  }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(std::int64_t) override { return true; }
  bool number_unsigned(std::uint64_t) override { return true; }
  bool number_float(double, const std::string&) override { return true; }
  bool string(std::string&) override { return true; }
  bool binary(json::binary_t&) override { return true; }

 private:
  std::string_view where_;
  int depth_limit_;
  int depth_ = 0;
  std::vector<std::set<std::string>> keys_;  // of the objects that are open
};

template <class T>
struct is_vector : std::false_type {};
template <class T>
struct is_vector<std::vector<T>> : std::true_type {};

}  // namespace detail

/// Parses one JSON text. Throws an Error that starts with `where` (a file name) for anything but valid JSON in UTF-8,
/// and for duplicate keys, too deep nesting and a text over the limit. Uses no recursion.
inline json parse_json(std::string_view text, std::string_view where, JsonLimits limits = {}) {
  if (text.size() > limits.bytes) fail(where, ": JSON has ", text.size(), " bytes, expected at most ", limits.bytes);
  // The parser would take a NUL for the end and ignore what follows.
  if (const auto nul = text.find('\0'); nul != text.npos) fail(where, ": JSON has a NUL at byte ", nul);
  // Checked first and built after: the parser's own callback takes time that grows with the square of a list's length.
  detail::StrictJsonEvents events(where, limits.depth);
  json::sax_parse(text.begin(), text.end(), &events);
  return json::parse(text.begin(), text.end());
}

/// parse_json of a whole file.
inline json read_json_file(const std::filesystem::path& path, JsonLimits limits = {}) {
  const MappedFile file(path);
  return parse_json(file.text(), path.string(), limits);
}

/// `value` as a bool, an integer (refused when out of T's range), a floating-point number, a std::string or a
/// std::vector of these. Throws an Error that starts with `where` when it is something else.
template <class T>
T json_as(const json& value, std::string_view where) {
  const auto expected = [&](std::string_view what) {
    fail(where, ": ", in_quotes(value.dump(-1, ' ', false, json::error_handler_t::replace)), " found, expected ", what);
  };
  if constexpr (std::is_same_v<T, bool>) {
    if (!value.is_boolean()) expected("true or false");
    return value.get<bool>();
  } else if constexpr (std::is_integral_v<T>) {
    if (!value.is_number_integer()) expected("an integer");
    const bool fits = value.is_number_unsigned() ? std::in_range<T>(value.get<std::uint64_t>())
                                                 : std::in_range<T>(value.get<std::int64_t>());
    if (!fits)
      fail(where, ": ", value.dump(), " is out of range, expected ", +std::numeric_limits<T>::min(), " to ",
           +std::numeric_limits<T>::max());
    return value.get<T>();
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!value.is_number()) expected("a number");
    if (std::abs(value.get<double>()) > std::numeric_limits<T>::max())
      fail(where, ": ", value.dump(), " is out of range");
    return value.get<T>();
  } else if constexpr (detail::is_vector<T>::value) {
    if (!value.is_array()) expected("an array");
    T result;
    result.reserve(value.size());
    for (const json& element : value) result.push_back(json_as<typename T::value_type>(element, where));
    return result;
  } else {
    static_assert(std::is_same_v<T, std::string>);
    if (!value.is_string()) expected("a string");
    return value.get<std::string>();
  }
}

/// The field `key` of `object`; throws when it is missing, null or not a T. `where` is where the object is: its file,
/// or file and field.
template <class T>
T require(const json& object, std::string_view key, std::string_view where) {
  if (!object.is_object()) fail(where, ": expected a JSON object");
  const auto field = object.find(key);
  if (field == object.end()) fail(where, ": the field ", in_quotes(key), " is missing");
  return json_as<T>(*field, std::string(where) + ": " + std::string(key));
}

/// The field `key` of `object`, or `fallback` when it is missing or null (what Hugging Face writes for a default).
template <class T>
T value_or(const json& object, std::string_view key, T fallback, std::string_view where) {
  if (!object.is_object()) fail(where, ": expected a JSON object");
  const auto field = object.find(key);
  if (field == object.end() || field->is_null()) return fallback;
  return json_as<T>(*field, std::string(where) + ": " + std::string(key));
}

/// A field that holds one integer or a list of them; empty when it is missing or null.
inline std::vector<int> int_or_list(const json& object, std::string_view key, std::string_view where) {
  const auto field = object.find(key);
  if (field == object.end() || field->is_null()) return {};
  if (field->is_array()) return require<std::vector<int>>(object, key, where);
  return {require<int>(object, key, where)};
}

}  // namespace tessera::io

#pragma once
/// Strict JSON from untrusted files, and typed access to its fields.

#include <algorithm>
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

namespace tessera::io {

using json = nlohmann::json;

/// What parse_json accepts at most.
struct JsonLimits {
  std::size_t bytes = std::size_t{256} << 20;
  int depth = 64;  ///< arrays and objects inside each other
};

/// `text` in single quotes for a message: control characters become '?', a long text is cut.
inline std::string in_quotes(std::string_view text) {
  constexpr std::size_t longest = 120;
  std::string result = "'";
  for (const char c : text.substr(0, longest)) result += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return result + (text.size() > longest ? "…'" : "'");
}

namespace detail {

// Called by the parser at each event, so that a hostile text is refused before it is built.
class StrictJsonEvents {
 public:
  StrictJsonEvents(std::string_view where, int depth_limit) : where_(where), depth_limit_(depth_limit) {}

  bool operator()(int depth, json::parse_event_t event, const json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
        keys_.emplace_back();
        [[fallthrough]];
      case json::parse_event_t::array_start:
        if (depth >= depth_limit_) fail(where_, ": JSON is nested deeper than ", depth_limit_, " levels");
        break;
      case json::parse_event_t::object_end:
        keys_.pop_back();
        break;
      case json::parse_event_t::key:
        if (const auto& key = parsed.get_ref<const std::string&>(); !keys_.back().insert(key).second)
          fail(where_, ": JSON has the key ", in_quotes(key), " twice in one object");
        break;
      default:
        break;
    }
    return true;
  }

 private:
  std::string_view where_;
  int depth_limit_;
  std::vector<std::set<std::string>> keys_;  // of the objects that are open
};

// "[json.exception.parse_error.101] parse error at line 1, column 2: …; last read: 'x'" without the machine's parts.
inline std::string readable_reason(std::string_view message) {
  if (const auto end = message.find("] "); message.starts_with('[') && end != message.npos)
    message.remove_prefix(end + 2);
  return std::string(message.substr(0, std::min(message.find("; last read"), std::size_t{200})));
}

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
  try {
    return json::parse(text.begin(), text.end(), detail::StrictJsonEvents(where, limits.depth));
  } catch (const json::exception& error) {
    fail(where, ": not valid JSON: ", detail::readable_reason(error.what()));
  }
}

/// parse_json of a whole file.
inline json read_json_file(const std::filesystem::path& path, JsonLimits limits = {}) {
  const MappedFile file(path);
  return parse_json({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path.string(), limits);
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

}  // namespace tessera::io

#pragma once
/// The one exception type of the library.

#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace tessera {

/// Thrown for every bad file, config, shape or argument. The message is one sentence that says where (file, tensor,
/// field), what was found and what was expected.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

// Not a string stream: <sstream> alone would double the time to parse this header.
template <class Part>
void append_to_message(std::string& message, const Part& part) {
  if constexpr (std::is_convertible_v<const Part&, std::string_view>) {
    message += std::string_view(part);
  } else if constexpr (std::is_same_v<Part, char>) {
    message += part;
  } else if constexpr (std::is_floating_point_v<Part>) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", static_cast<double>(part));
    message += text;
  } else {
    message += std::to_string(part);
  }
}

}  // namespace detail

/// Throws an Error whose message is all arguments (text and numbers) one after the other.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::string message;
  (detail::append_to_message(message, parts), ...);
  throw Error(message);
}

/// Throws an Error unless low ≤ value ≤ high; NaN is in no range. `name` says whose number it is.
template <class T>
void check_range(std::string_view name, T value, std::type_identity_t<T> low, std::type_identity_t<T> high) {
  if (!(value >= low && value <= high)) fail(name, " is ", value, ", expected ", low, " to ", high);
}

}  // namespace tessera

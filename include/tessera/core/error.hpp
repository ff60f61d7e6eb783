#pragma once
/// The one exception type of the library.

#include <sstream>
#include <stdexcept>
#include <string>

namespace tessera {

/// Thrown for every bad file, config, shape or argument. The message is one sentence that says where (file, tensor,
/// field), what was found and what was expected.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws an Error whose message is all arguments streamed one after the other.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw Error(message.str());
}

}  // namespace tessera

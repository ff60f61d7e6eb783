#pragma once
// What a refused call says.

#include <string>

#include "tessera/core/error.hpp"

namespace tessera::test {

/// The message of the Error that `call` throws; empty if it throws none.
template <class Call>
std::string error_message(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace tessera::test

#pragma once
// Files that a test writes.

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "tessera/core/error.hpp"

namespace tessera::test {

/// An empty folder of its own for each object, removed with all that is in it.
struct TemporaryFolder {
  std::filesystem::path path;

  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "tessera_test_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) fail(name, ": the folder cannot be made");
    path = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
};

}  // namespace tessera::test

#include "tessera/io/atomic_file.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <sys/stat.h>

#include "catch.hpp"
#include "support/temporary_folder.hpp"

using namespace tessera;
using test::contains;

namespace {

std::string content_of(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::ptrdiff_t files_in(const std::filesystem::path& folder) {
  return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
}

}  // namespace

TEST_CASE("a file appears with commit, whole") {
  const test::TemporaryFolder folder;
  const auto path = folder.path / "new";
  io::AtomicFile file(path);
  file.write("first ");
  file.write(std::as_bytes(std::span("second", 6)));
  file.write(std::string(100'000, 'x'));
  CHECK_FALSE(std::filesystem::exists(path));
  file.commit();
  CHECK(content_of(path) == "first second" + std::string(100'000, 'x'));
  CHECK(files_in(folder.path) == 1);
}

TEST_CASE("the old file stays until commit, and for good without one") {
  const test::TemporaryFolder folder;
  const auto path = folder.path / "file";
  std::ofstream(path) << "old";
  {
    io::AtomicFile file(path);
    file.write("new");
    CHECK(content_of(path) == "old");
  }
  CHECK(content_of(path) == "old");
  CHECK(files_in(folder.path) == 1);

  io::AtomicFile file(path);
  file.write("new");
  file.commit();
  CHECK(content_of(path) == "new");
  CHECK(files_in(folder.path) == 1);
}

TEST_CASE("writers of one target do not meet: the last commit wins") {
  const test::TemporaryFolder folder;
  const auto path = folder.path / "file";
  io::AtomicFile first(path), second(path);
  first.write("first");
  second.write("second");
  second.commit();
  CHECK(content_of(path) == "second");
  first.commit();
  CHECK(content_of(path) == "first");
  CHECK(files_in(folder.path) == 1);
}

TEST_CASE("an empty file can be written, into the working folder too") {
  const test::TemporaryFolder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path);
  {
    io::AtomicFile file("empty");
    file.commit();
  }
  std::filesystem::current_path(before);
  CHECK(std::filesystem::file_size(folder.path / "empty") == 0);
}

TEST_CASE("what cannot be written is refused before anything is made") {
  const test::TemporaryFolder folder;
  CHECK_THROWS_WITH(io::AtomicFile(folder.path),
                    folder.path.string() + ": cannot be written: exists and is not a regular file");
  CHECK_THROWS_WITH(io::AtomicFile("/dev/null"), contains("exists and is not a regular file"));
  const auto missing = folder.path / "missing" / "file";
  CHECK_THROWS_WITH(io::AtomicFile(missing), missing.string() + ": cannot be written: No such file or directory");
  CHECK(files_in(folder.path) == 0);
}

TEST_CASE("a link to a file is replaced, not followed") {
  const test::TemporaryFolder folder;
  std::ofstream(folder.path / "target") << "old";
  std::filesystem::create_symlink("target", folder.path / "link");
  io::AtomicFile file(folder.path / "link");
  file.write("new");
  file.commit();
  CHECK(content_of(folder.path / "link") == "new");
  CHECK(content_of(folder.path / "target") == "old");
}

#include "tessera/io/mapped_file.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include <sys/stat.h>

#include "catch.hpp"
#include "support/temporary_folder.hpp"

using namespace tessera;
using test::contains;

namespace {

std::filesystem::path file_with(const test::TemporaryFolder& folder, const std::string& content) {
  const auto path = folder.path / "file";
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

}  // namespace

TEST_CASE("a file is mapped whole, NULs included") {
  const test::TemporaryFolder folder;
  const std::string content("a\0b\nend", 7);
  const io::MappedFile file(file_with(folder, content));
  CHECK(file.text() == content);
  CHECK(file.bytes().size() == 7);
  CHECK(file.bytes()[1] == std::byte{0});
}

TEST_CASE("a mapping outlives the file's name, and moves") {
  const test::TemporaryFolder folder;
  const auto path = file_with(folder, "content");
  io::MappedFile file(path);
  const char* const data = file.text().data();
  std::filesystem::remove(path);
  io::MappedFile moved(std::move(file));
  CHECK(moved.text() == "content");
  CHECK(moved.text().data() == data);
  CHECK(file.bytes().empty());  // a moved-from mapping is an empty one
  io::MappedFile assigned(file_with(folder, "other"));
  assigned = std::move(moved);
  CHECK(assigned.text() == "content");
}

TEST_CASE("released parts, however they are aligned, read the same again") {
  const test::TemporaryFolder folder;
  std::string content;
  while (content.size() < 5 * 4096 + 100) content += std::to_string(content.size()) + " ";
  const io::MappedFile file(file_with(folder, content));
  file.release(file.bytes());
  CHECK(file.text() == content);
  file.release(file.bytes().subspan(1, 4095));  // no whole page
  file.release(file.bytes().subspan(4095, 4098));
  file.release(file.bytes().first(0));
  CHECK(file.text() == content);
}

TEST_CASE("what cannot be mapped is refused by name") {
  const test::TemporaryFolder folder;
  const auto refused = [&](const std::filesystem::path& path, const std::string& reason) {
    CHECK_THROWS_WITH(io::MappedFile(path), path.string() + ": " + reason);
  };
  refused(folder.path / "missing", "cannot be opened: No such file or directory");
  refused(folder.path, "is a folder, expected a file");
  refused(file_with(folder, ""), "the file is empty");
  refused("/dev/zero", "is not a regular file");
  const auto pipe = folder.path / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  refused(pipe, "is not a regular file");  // and does not wait for a writer
  std::filesystem::create_symlink("nowhere", folder.path / "link");
  refused(folder.path / "link", "cannot be opened: No such file or directory");
}

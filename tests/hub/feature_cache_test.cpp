#include "tessera/hub/feature_cache.hpp"

#include <filesystem>
#include <fstream>
#include <vector>

#include "catch.hpp"
#include "support/temporary_folder.hpp"

using namespace tessera;
using hub::FeatureCache;

namespace {

const std::vector<float> rows{1, 2, 3, 4};

std::filesystem::path file_with(const std::filesystem::path& file, const char* text) {
  std::ofstream(file) << text;
  return file;
}

}  // namespace

TEST_CASE("features come back under the key of their image, and in the number that is asked for") {
  FeatureCache cache(1, 1 << 10);
  CHECK(!cache.find(7, 4));
  cache.store(7, rows);
  CHECK(cache.find(7, 4) == rows);
  CHECK(!cache.find(7, 3));
  CHECK(!cache.find(8, 4));
}

TEST_CASE("a key stands for the image's content and for the salt") {
  const test::TemporaryFolder scratch;
  const auto a = file_with(scratch.path / "a", "one picture"), same = file_with(scratch.path / "b", "one picture"),
             other = file_with(scratch.path / "c", "one pictures");
  const FeatureCache cache(1, 0), salted(2, 0);
  CHECK(cache.key(a) == cache.key(same));
  CHECK(cache.key(a) != cache.key(other));
  CHECK(cache.key(a) != salted.key(a));
}

TEST_CASE("what memory has no room for lies on disk, where another run finds it") {
  const test::TemporaryFolder scratch;
  {
    FeatureCache cache(1, 0, scratch.path / "features");
    cache.store(7, rows);
    CHECK(cache.find(7, 4) == rows);
  }
  const FeatureCache later(1, 0, scratch.path / "features");
  CHECK(later.find(7, 4) == rows);
  CHECK(!later.find(7, 5));
  FeatureCache memory_alone(1, 15);
  memory_alone.store(7, rows);
  CHECK(!memory_alone.find(7, 4));
}

#include "tessera/language/kv_cache.hpp"

#include <utility>
#include <vector>

#include "tessera/testing/allocation_counter.hpp"

#include "catch.hpp"

using namespace tessera;

namespace {

/// Marks every number of the last `rows` rows of all blocks with a value of its own.
void fill_last(KvCache<float>& cache, int blocks, int rows, float start) {
  for (int i = 0; i < blocks; ++i) {
    const KeyValues<float> kv = cache.block(i);
    for (int r = kv.keys.rows - rows; r < kv.keys.rows; ++r) {
      for (int c = 0; c < kv.keys.cols; ++c) {
        kv.keys(r, c) = start + static_cast<float>(i * 1000 + r * 10 + c);
        kv.values(r, c) = -kv.keys(r, c);
      }
    }
  }
}

std::vector<float> numbers(const KvCache<float>& cache, int blocks) {
  std::vector<float> all;
  for (int i = 0; i < blocks; ++i) {
    const KeyValues<float> kv = cache.block(i);
    for (const Mat<float>& m : {kv.keys, kv.values}) all.insert(all.end(), m.data, m.data + m.rows * m.cols);
  }
  return all;
}

}  // namespace

TEST_CASE("rows stay where they are while a cache grows, and blocks do not touch each other") {
  KvCache<float> cache(3, 8, 4);
  CHECK(cache.capacity() == 8);
  CHECK(cache.size() == 0);
  CHECK(cache.bytes() == 3 * 2 * 8 * 4 * sizeof(float));
  cache.grow(3);
  fill_last(cache, 3, 3, 0.5f);
  const KeyValues<float> before = cache.block(2);
  cache.grow(5);
  fill_last(cache, 3, 5, 0.25f);
  const KeyValues<float> after = cache.block(2);
  CHECK(after.keys.rows == 8);
  CHECK(after.keys.data == before.keys.data);
  for (int i = 0; i < 3; ++i) {
    for (int r = 0; r < 8; ++r) {
      for (int c = 0; c < 4; ++c) {
        const float expected = (r < 3 ? 0.5f : 0.25f) + static_cast<float>(i * 1000 + r * 10 + c);
        REQUIRE(cache.block(i).keys(r, c) == expected);
        REQUIRE(cache.block(i).values(r, c) == -expected);
      }
    }
  }
}

TEST_CASE("a cache holds no more than its capacity") {
  KvCache<float> cache(1, 4, 2);
  cache.grow(3);
  CHECK_THROWS_WITH(cache.grow(2),
                    "the sequence of 5 tokens is longer than the limit of 4 that this session was planned for");
  CHECK(cache.size() == 3);
  cache.shrink(5);
  CHECK(cache.size() == 3);
  cache.shrink(1);
  CHECK(cache.size() == 1);
  cache.grow(3);
  CHECK(cache.size() == 4);
}

TEST_CASE("a copy agrees from the shared tokens on, and keeps its own below") {
  KvCache<float> from(2, 6, 3), to(2, 6, 3);
  from.grow(4);
  fill_last(from, 2, 4, 0.5f);
  to.copy_from(from, 0);
  CHECK(numbers(to, 2) == numbers(from, 2));

  from.block(1).keys(0, 0) = 77;  // in the part that is said to be shared: not looked at
  from.block(1).keys(3, 2) = 78;
  to.copy_from(from, 2);
  CHECK(to.block(1).keys(0, 0) != 77);
  CHECK(to.block(1).keys(3, 2) == 78);
}

TEST_CASE("a counting cache knows its size and takes no memory") {
  const std::size_t bytes = std::size_t{2} * 1000 * (1 << 24) * 4096 * sizeof(float);  // half a petabyte
  std::size_t counted = 0;
  CHECK(testing::count_allocations([&] {
          auto cache = KvCache<float>::counting(1000, 1 << 24, 4096);
          cache.grow(7);
          counted = cache.block(999).keys.rows == 7 ? cache.bytes() : 0;
        }) == 0);
  CHECK(counted == bytes);
}

TEST_CASE("a cache takes its memory once") {
  CHECK(testing::count_allocations([] { KvCache<float>(2, 16, 8); }) == 1);
  CHECK(testing::count_allocations([] { KvCache<float>(2, 1 << 14, 64); }) == 1);  // in huge pages
  KvCache<float> cache(2, 16, 8), other(2, 16, 8);
  CHECK(testing::count_allocations([&] {
          cache.grow(16);
          cache.shrink(3);
          other.copy_from(cache, 0);
          std::swap(cache, other);
        }) == 0);
}

#include "tessera/core/arena.hpp"

#include <cstdint>

#include "catch.hpp"

using namespace tessera;

namespace {

void use(Arena& arena) {
  const Arena::Scope outer(arena);
  arena.take<float>(3);
  {
    const Arena::Scope inner(arena);
    arena.take<double>(100);
  }
  arena.mat<float>(5, 100);
}

}  // namespace

TEST_CASE("a counting pass gives the size that the real pass needs, to the byte") {
  Arena counting;
  CHECK(counting.counting());
  use(counting);
  CHECK(counting.used() == 0);

  Arena real(counting.peak());
  CHECK_FALSE(real.counting());
  use(real);
  CHECK(real.peak() == counting.peak());

  Arena small(counting.peak() - 1);
  CHECK_THROWS_AS(use(small), Error);
}

TEST_CASE("memory is aligned, and what a scope took is given back") {
  Arena arena(1 << 12);
  const float* first = nullptr;
  {
    const Arena::Scope scope(arena);
    arena.take<char>(1);
    first = arena.take<float>(1);
    CHECK(reinterpret_cast<std::uintptr_t>(first) % 64 == 0);
  }
  arena.take<char>(1);
  CHECK(arena.take<float>(1) == first);
}

TEST_CASE("matrix rows lie an odd number of cache lines apart") {
  Arena arena(1 << 20);
  for (const int cols : {1, 16, 17, 32, 1024, 1025}) {
    const Mat<float> m = arena.mat<float>(2, cols);
    CHECK(m.stride >= cols);
    CHECK(m.stride % 16 == 0);
    CHECK(m.stride / 16 % 2 == 1);
  }
}

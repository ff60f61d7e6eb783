#include "tessera/core/dims.hpp"

#include <type_traits>

#include "catch.hpp"

using namespace tessera;

namespace {

struct Fixed {
  static constexpr int width = 1024;
};
struct Loaded {
  int width = 3;
};
struct Mixed : Loaded {
  static constexpr int depth = 2;
};

}  // namespace

TEST_CASE("a pointer to a config field tells compile time from run time") {
  STATIC_REQUIRE(ext<&Fixed::width> == 1024);
  STATIC_REQUIRE(ext<&Loaded::width> == dyn);
  STATIC_REQUIRE(ext<&Mixed::width> == dyn);
  STATIC_REQUIRE(ext<&Mixed::depth> == 2);
}

TEST_CASE("extents compare and multiply with dyn as unknown") {
  STATIC_REQUIRE(same_extent(4, 4));
  STATIC_REQUIRE(!same_extent(4, 5));
  STATIC_REQUIRE(same_extent(dyn, 5));
  STATIC_REQUIRE(same_extent(4, dyn));
  STATIC_REQUIRE(product(3, 5) == 15);
  STATIC_REQUIRE(product(3, dyn) == dyn);
}

TEST_CASE("a static extent takes no space and refuses another value") {
  STATIC_REQUIRE(std::is_empty_v<Extent<7>>);
  CHECK(Extent<7>(7).value() == 7);
  CHECK_THROWS_WITH(Extent<7>(8), "the type fixes a dimension to 7, the value given is 8");
  CHECK(Extent<dyn>(8).value() == 8);
  CHECK_THROWS_AS(Extent<dyn>(-3), Error);
}

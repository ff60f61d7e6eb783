#include "tessera/kernel/kernels.hpp"

#include "catch.hpp"

using namespace tessera;

TEST_CASE("levels have names") {
  for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512}) CHECK(isa_from_name(name_of(isa)) == isa);
  CHECK_THROWS_WITH(isa_from_name("sse9"), test::contains("sse9") && test::contains("avx2"));
}

TEST_CASE("cap_isa lowers the active level, never above the CPU") {
  const Isa before = active_isa();
  CHECK(before <= detected_isa());
  cap_isa(Isa::scalar);
  CHECK(active_isa() == Isa::scalar);
  CHECK(kernels().isa == Isa::scalar);
  cap_isa(Isa::avx512);
  CHECK(active_isa() == detected_isa());
  CHECK(kernels().isa == detected_isa());
  cap_isa(before);
  if (detected_isa() < Isa::avx512) CHECK_THROWS_AS(kernels(Isa::avx512), Error);
}

#include "tessera/ops/native.hpp"

#include "ops/cases.hpp"

using namespace tessera;
using namespace tessera::test;

TEST_CASE("the native ops agree with the reference on every instruction set") {
  for (const Isa isa : available_isas()) {
    INFO(name_of(isa));
    ops::Native native(isa);
    check_every_op(native);
  }
}

TEST_CASE("the bits of the native ops depend neither on threads nor on the rows of a call") {
  for (const Isa isa : available_isas()) {
    INFO(name_of(isa));
    ops::Native native(isa);
    const auto expected = large_results(native, 1, 37);
    for (const int threads : {1, 2, 3}) {
      for (const int rows : {1, 7, 37}) CHECK(same_bits(large_results(native, threads, rows), expected));
    }
  }
}

TEST_CASE("a matrix that was never bound is an error") {
  const ops::Native native;
  const TestWeight w(3, 4, DType::f32, 1);
  const TestMat<float> x = random_mat(2, 4, 2);
  TestMat<float> y(2, 3);
  CHECK_THROWS_WITH(in_planned_workspace(1, [&](Run& run) { native.linear(run, x.mat(), w.row_major(), {}, y.mat()); }),
                    "a weight of [3, 4] was never bound to the native ops: see ops::bind_weights");
}

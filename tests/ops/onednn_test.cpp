#include "tessera/ops/onednn.hpp"

#include "ops/cases.hpp"

using namespace tessera;
using namespace tessera::test;

TEST_CASE("the oneDNN ops agree with the reference") {
  ops::OneDnn onednn;
  check_every_op(onednn);
}

TEST_CASE("one object of the oneDNN ops serves several thread numbers and leaves the caller's alone") {
  ops::OneDnn onednn;
  const int before = omp_get_max_threads();
  const auto expected = large_results(onednn, 1, 37);
  constexpr double bound = 200 * testing::float_roundoff;  // the longest sums have 200 products
  for (const int threads : {1, 2, 3}) {
    for (const int rows : {1, 7, 37}) {
      const auto results = large_results(onednn, threads, rows);
      for (std::size_t i = 0; i < results.size(); ++i) {
        CHECK(testing::relative_error(results[i].mat(), expected[i].mat()) <= bound);
      }
    }
  }
  CHECK(omp_get_max_threads() == before);
}

TEST_CASE("a matrix that was never bound to the oneDNN ops is an error") {
  const ops::OneDnn onednn;
  const TestWeight w(3, 4, DType::f32, 1);
  const TestMat<float> x = random_mat(2, 4, 2);
  TestMat<float> y(2, 3);
  CHECK_THROWS_WITH(in_planned_workspace(1, [&](Run& run) { onednn.linear(run, x.mat(), w.row_major(), {}, y.mat()); }),
                    "a weight of [3, 4] was never bound to the oneDNN ops");
}

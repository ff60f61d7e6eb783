#include "tessera/ops/eigen.hpp"

#include "ops/cases.hpp"

using namespace tessera;
using namespace tessera::test;

TEST_CASE("the Eigen ops agree with the reference") {
  ops::EigenOps eigen;
  check_every_op(eigen);
}

TEST_CASE("the bits of the Eigen ops do not depend on threads, and the caller's number of threads is left alone") {
  ops::EigenOps eigen;
  const int before = omp_get_max_threads();
  const auto expected = large_results(eigen, 1, 37);
  for (const int threads : {2, 3}) CHECK(same_bits(large_results(eigen, threads, 37), expected));
  CHECK(omp_get_max_threads() == before);
}

#include "tessera/interop/eigen.hpp"

#include <type_traits>
#include <vector>

#include "catch.hpp"

using namespace tessera;
using test::contains;
using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

TEST_CASE("a Mat is seen and written through Eigen, with its stride") {
  std::vector<float> values = {1, 2, 3, -1, 4, 5, 6, -1};
  const Mat<float> mat{values.data(), 2, 3, 4};
  auto map = interop::as_eigen(mat);
  RowMajor expected(2, 3);
  expected << 1, 2, 3, 4, 5, 6;
  CHECK(map == expected);
  map *= 2;
  CHECK(values == std::vector<float>{2, 4, 6, -1, 8, 10, 12, -1});

  const Eigen::MatrixXf product = map * map.transpose();
  CHECK(product(0, 1) == 2 * 8 + 4 * 10 + 6 * 12);
}

TEST_CASE("the number of columns can be a constant") {
  std::vector<double> values = {1, 2, 3, 4, 5, 6};
  const auto map = interop::as_eigen<3>(dense(values.data(), 2, 3));
  static_assert(decltype(map)::ColsAtCompileTime == 3);
  CHECK(map(1, 2) == 6);
  CHECK_THROWS_WITH(interop::as_eigen<3>(dense(values.data(), 3, 2)), "as_eigen: 2 columns found, expected 3");
}

TEST_CASE("constness is kept both ways") {
  const std::vector<float> values = {1, 2};
  const auto map = interop::as_eigen(dense(values.data(), 1, 2));
  static_assert(std::is_same_v<decltype(interop::as_mat(map)), Mat<const float>>);
  const RowMajor constant = RowMajor::Ones(2, 2);
  static_assert(std::is_same_v<decltype(interop::as_mat(constant)), Mat<const float>>);
  CHECK(interop::as_mat(map).data == values.data());
}

TEST_CASE("Eigen matrices, blocks, maps and vectors are seen as a Mat") {
  RowMajor matrix(3, 4);
  for (int i = 0; i < 12; ++i) matrix.data()[i] = static_cast<float>(i);
  const Mat<float> whole = interop::as_mat(matrix);
  CHECK((whole.rows == 3 && whole.cols == 4 && whole.stride == 4));
  CHECK(whole(2, 1) == 9);

  auto block = matrix.block(1, 1, 2, 2);
  const Mat<float> part = interop::as_mat(block);
  CHECK((part.rows == 2 && part.cols == 2 && part.stride == 4));
  part(1, 1) = 100;
  CHECK(matrix(2, 2) == 100);

  Eigen::VectorXf vector = Eigen::VectorXf::LinSpaced(3, 0, 2);
  const Mat<float> column = interop::as_mat(vector);
  CHECK((column.rows == 3 && column.cols == 1));
  CHECK(column(2, 0) == 2);

  auto round_trip = interop::as_eigen(whole);
  CHECK(interop::as_mat(round_trip).data == matrix.data());
}

TEST_CASE("an inner stride is refused") {
  std::vector<float> values(12);
  Eigen::Map<RowMajor, Eigen::Unaligned, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>> map(
      values.data(), 2, 3, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>(6, 2));
  CHECK_THROWS_WITH(interop::as_mat(map), contains("stride of 2"));
}

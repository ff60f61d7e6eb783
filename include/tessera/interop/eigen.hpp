#pragma once
/// Matrices of Eigen as views of ours and back; nothing is copied.

#include <concepts>
#include <limits>
#include <type_traits>

#include <Eigen/Core>

#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"

namespace tessera::interop {

/// An Eigen map of the memory of `mat`, row-major with its stride. With `Cols` the number of columns is a constant
/// for Eigen; throws an Error when `mat` has another one.
template <int Cols = Eigen::Dynamic, class T>
auto as_eigen(Mat<T> mat) {
  static_assert(Cols != 1, "Eigen has no row-major column vectors: use as_eigen(mat).col(0)");
  using Matrix = Eigen::Matrix<std::remove_const_t<T>, Eigen::Dynamic, Cols, Eigen::RowMajor>;
  using Viewed = std::conditional_t<std::is_const_v<T>, const Matrix, Matrix>;
  using Stride = Eigen::OuterStride<>;
  if (Cols != Eigen::Dynamic && mat.cols != Cols) fail("as_eigen: ", mat.cols, " columns found, expected ", Cols);
  return Eigen::Map<Viewed, Eigen::Unaligned, Stride>(mat.data, mat.rows, mat.cols, Stride(mat.stride));
}

/// A Mat of the memory of an Eigen matrix, map or block whose rows are contiguous. Of const objects it is const.
/// Throws an Error when there is an inner stride or a side does not fit an int.
template <class Matrix>
requires std::derived_from<Matrix, Eigen::DenseBase<std::remove_const_t<Matrix>>> && requires(Matrix& matrix) {
  matrix.data();
}
auto as_mat(Matrix& matrix) {
  static_assert(Matrix::IsRowMajor || Matrix::ColsAtCompileTime == 1, "as_mat needs a row-major Eigen matrix");
  constexpr Eigen::Index limit = std::numeric_limits<int>::max();
  if (matrix.rows() > limit || matrix.cols() > limit)
    fail("as_mat: ", matrix.rows(), " × ", matrix.cols(), " elements found, expected at most ", limit, " on a side");
  if (matrix.cols() > 1 && matrix.colStride() != 1)
    fail("as_mat: columns with a stride of ", matrix.colStride(), " found, expected contiguous rows");
  using T = std::remove_pointer_t<decltype(matrix.data())>;
  return Mat<T>{matrix.data(), static_cast<int>(matrix.rows()), static_cast<int>(matrix.cols()), matrix.rowStride()};
}

}  // namespace tessera::interop

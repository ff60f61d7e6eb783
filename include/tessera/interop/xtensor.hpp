#pragma once
/// Tensors of xtensor as views of ours and back, without a copy, and .npy files as xtensor arrays.
///
/// Files go through io/npy.hpp and not through xtensor's own reader, which trusts the header.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <numeric>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <xtensor/xadapt.hpp>
#include <xtensor/xarray.hpp>
#include <xtensor/xstrided_view.hpp>
#include <xtensor/xtensor.hpp>

#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/io/npy.hpp"

namespace tessera::interop {

/// An xtensor adaptor of contiguous values, row-major. Throws an Error when their number is not that of the shape.
template <class T>
auto as_xtensor(std::span<T> values, const std::vector<std::size_t>& shape) {
  const std::size_t count = std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>());
  if (count != values.size()) fail("as_xtensor: ", values.size(), " values found, expected ", count, " for the shape");
  return xt::adapt(values.data(), values.size(), xt::no_ownership(), shape);
}

/// A two-dimensional xtensor view of the memory of `mat`, with its stride.
template <class T>
auto as_xtensor(Mat<T> mat) {
  // A strided adaptor would be simpler, but xtensor's `*=` and its kind take every adaptor's memory for contiguous.
  std::array<std::size_t, 2> shape = {static_cast<std::size_t>(mat.rows), static_cast<std::size_t>(mat.cols)};
  std::array<std::ptrdiff_t, 2> strides = {mat.stride, 1};
  const std::size_t extent = mat.rows == 0 ? 0 : static_cast<std::size_t>((mat.rows - 1) * mat.stride + mat.cols);
  return xt::strided_view(as_xtensor(std::span(mat.data, extent), {extent}), std::move(shape), std::move(strides));
}

/// A Mat of the memory of a two-dimensional xtensor container, adaptor or strided view whose rows are contiguous. Of
/// const objects it is const. Throws an Error for other dimensions and strides.
template <class Tensor>
requires xt::is_xexpression<Tensor>::value && requires(Tensor& tensor) { tensor.data() + tensor.data_offset(); }
auto as_mat(Tensor& tensor) {
  if (tensor.dimension() != 2) fail("as_mat: ", tensor.dimension(), " dimensions found, expected 2");
  const std::size_t rows = tensor.shape()[0], cols = tensor.shape()[1];
  constexpr std::size_t limit = std::numeric_limits<int>::max();
  if (rows > limit || cols > limit)
    fail("as_mat: ", rows, " × ", cols, " elements found, expected at most ", limit, " on a side");
  // xtensor gives sides of one element the stride 0.
  const std::ptrdiff_t column_stride = cols > 1 ? tensor.strides()[1] : 1;
  const std::ptrdiff_t row_stride = rows > 1 ? tensor.strides()[0] : static_cast<std::ptrdiff_t>(cols);
  if (column_stride != 1 || row_stride < static_cast<std::ptrdiff_t>(cols))
    fail("as_mat: strides ", row_stride, " and ", column_stride, " found, expected contiguous rows");
  using T = std::remove_reference_t<decltype(*tensor.data())>;
  return Mat<T>{tensor.data() + tensor.data_offset(), static_cast<int>(rows), static_cast<int>(cols), row_stride};
}

/// Reads a .npy file of elements of type T. Throws an Error as io::NpyFile does, and for another element type.
template <class T>
xt::xarray<T> load_npy(const std::filesystem::path& path) {
  const io::NpyFile file(path);
  const io::NpyArray& array = file.array();
  if (array.dtype != io::dtype_of<T>())
    fail(path.string(), ": ", name_of(array.dtype), " found, expected ", name_of(io::dtype_of<T>()));
  xt::xarray<T> result(std::vector<std::size_t>(array.shape.begin(), array.shape.end()));
  std::memcpy(result.data(), array.data.data(), array.data.size());
  return result;
}

/// Writes an xtensor expression as a .npy file, see io::write_npy.
template <class Expression>
void dump_npy(const std::filesystem::path& path, const xt::xexpression<Expression>& expression) {
  using T = typename Expression::value_type;
  const xt::xarray<T> array = expression.derived_cast();
  const std::vector<std::int64_t> shape(array.shape().begin(), array.shape().end());
  io::write_npy<T>(path, shape, std::span(array.data(), array.size()));
}

}  // namespace tessera::interop

#include "tessera/interop/xtensor.hpp"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <xtensor/xmath.hpp>
#include <xtensor/xnpy.hpp>
#include <xtensor/xstrided_view.hpp>
#include <xtensor/xview.hpp>

#include "catch.hpp"
#include "support/temporary_folder.hpp"

using namespace tessera;
using test::contains;
using test::TemporaryFolder;

// xtensor expressions are compared in double parentheses: Catch2 and xtensor overload the same operators.
TEST_CASE("a Mat is seen and written through xtensor, with its stride") {
  std::vector<float> values = {1, 2, 3, -1, 4, 5, 6, -1};
  auto view = interop::as_xtensor(Mat<float>{values.data(), 2, 3, 4});
  const xt::xtensor<float, 2> expected = {{1, 2, 3}, {4, 5, 6}};
  CHECK((view == expected));
  view *= 2.0f;
  CHECK(values == std::vector<float>{2, 4, 6, -1, 8, 10, 12, -1});
  CHECK(xt::sum(view)() == 42);
  view = expected + expected;
  view += expected;
  CHECK(values == std::vector<float>{3, 6, 9, -1, 12, 15, 18, -1});
  view.fill(0);
  CHECK(values == std::vector<float>{0, 0, 0, -1, 0, 0, 0, -1});

  const Mat<float> back = interop::as_mat(view);
  CHECK((back.data == values.data() && back.rows == 2 && back.cols == 3 && back.stride == 4));
  const std::vector<float> constant = {1, 2, 3, 4, 5, 6};
  CHECK((interop::as_xtensor(dense(constant.data(), 2, 3)) == expected));
}

TEST_CASE("sides of one element and empty matrices are seen as well") {
  std::vector<float> values = {1, 2, 3, 4};
  const xt::xtensor<float, 2> row = {{1, 2, 3, 4}}, column = {{1}, {3}};
  CHECK((interop::as_xtensor(dense(values.data(), 1, 4)) == row));
  CHECK((interop::as_xtensor(Mat<float>{values.data(), 2, 1, 2}) == column));
  CHECK(interop::as_xtensor(dense(values.data(), 0, 4)).size() == 0);
  const xt::xtensor<float, 2> sum = interop::as_xtensor(Mat<float>{values.data(), 2, 1, 2}) + row;
  CHECK(sum(1, 2) == 3 + 3);
}

TEST_CASE("contiguous values are seen in any shape") {
  std::vector<std::int64_t> values = {1, 2, 3, 4, 5, 6};
  auto view = interop::as_xtensor(std::span(values), {1, 2, 3});
  CHECK(view(0, 1, 2) == 6);
  view(0, 0, 0) = 7;
  CHECK(values[0] == 7);
  const std::span<const std::int64_t> constant = values;
  CHECK(interop::as_xtensor(constant, {6})(5) == 6);
  CHECK_THROWS_WITH(interop::as_xtensor(constant, {2, 2}), "as_xtensor: 6 values found, expected 4 for the shape");
}

TEST_CASE("xtensor containers and views are seen as a Mat") {
  xt::xtensor<float, 2> tensor = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}};
  const Mat<float> whole = interop::as_mat(tensor);
  CHECK((whole.rows == 3 && whole.cols == 3 && whole.stride == 3));
  CHECK(whole(2, 1) == 8);

  auto view = xt::view(tensor, xt::range(1, 3), xt::range(1, 3));
  const Mat<float> part = interop::as_mat(view);
  CHECK((part.rows == 2 && part.cols == 2 && part.stride == 3));
  part(1, 1) = 100;
  CHECK(tensor(2, 2) == 100);

  xt::xarray<double> one_row = xt::ones<double>({1, 4});
  CHECK(interop::as_mat(one_row).stride == 4);
  xt::xarray<double> one_column = xt::ones<double>({4, 1});
  CHECK((interop::as_mat(one_column).stride == 1 && interop::as_mat(one_column).rows == 4));

  const xt::xtensor<float, 2> constant = tensor;
  static_assert(std::is_same_v<decltype(interop::as_mat(constant)), Mat<const float>>);
}

TEST_CASE("what is not a matrix with contiguous rows is refused") {
  xt::xarray<float> cube = xt::zeros<float>({2, 2, 2});
  CHECK_THROWS_WITH(interop::as_mat(cube), "as_mat: 3 dimensions found, expected 2");
  xt::xtensor<float, 2, xt::layout_type::column_major> columns = xt::zeros<float>({2, 3});
  CHECK_THROWS_WITH(interop::as_mat(columns), contains("expected contiguous rows"));
  xt::xtensor<float, 2> rows = xt::zeros<float>({4, 4});
  auto every_second = xt::view(rows, xt::all(), xt::range(0, 4, 2));
  CHECK_THROWS_WITH(interop::as_mat(every_second), contains("strides 4 and 2"));
}

TEST_CASE("our .npy files are those of xtensor's own reader and writer") {
  const TemporaryFolder folder;
  const std::string path = (folder.path / "a.npy").string();
  const xt::xarray<float> array = {{{1, 2, 3}, {4, 5, 6}}};
  interop::dump_npy(path, array);
  CHECK((xt::load_npy<float>(path) == array));
  CHECK((interop::load_npy<float>(path) == array));
  interop::dump_npy(path, xt::transpose(array) * 2.0f);
  CHECK((xt::load_npy<float>(path) == xt::transpose(array) * 2.0f));

  const xt::xarray<std::int64_t> ids = {3, 1, 2};
  xt::dump_npy(path, ids);
  CHECK((interop::load_npy<std::int64_t>(path) == ids));
}

TEST_CASE("files of another element type and hostile files throw an Error") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path / "a.npy";
  interop::dump_npy(path, xt::xarray<double>({1.0, 2.0}));
  CHECK_THROWS_WITH(interop::load_npy<float>(path), path.string() + ": f64 found, expected f32");
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  CHECK_THROWS_WITH(interop::load_npy<double>(path), contains("15 bytes of data, expected 16"));
  std::ofstream(path) << "garbage";
  CHECK_THROWS_AS(interop::load_npy<double>(path), Error);
}

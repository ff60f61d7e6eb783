#include "tessera/io/npy.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/temporary_folder.hpp"

using namespace tessera;
using test::contains;
using test::starts_with;
using test::TemporaryFolder;

namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string file_of(const std::string& header, const std::string& data, char version = 1) {
  std::string file = "\x93NUMPY";
  file += {version, '\0', static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)};
  if (version > 1) file += std::string(2, '\0');
  return file + header + data;
}

void check_refused(const std::string& file, const std::string& expected) {
  CAPTURE(file);
  CHECK_THROWS_WITH(io::parse_npy(bytes_of(file), "x.npy"), starts_with("x.npy: ") && contains(expected));
}

}  // namespace

TEST_CASE("valid headers are read") {
  for (const char version : {'\1', '\2', '\3'}) {
    const std::string file =
        file_of("{'descr': '<i4', 'fortran_order': False, 'shape': (2, 1), }          \n", "abcdefgh", version);
    const io::NpyArray array = io::parse_npy(bytes_of(file), "x");
    CHECK(array.dtype == DType::i32);
    CHECK(array.shape == std::vector<std::int64_t>{2, 1});
    CHECK(array.data.size() == 8);
    CHECK(array.data[0] == std::byte{'a'});
  }
  const std::string scalar = file_of("{'shape':(),'fortran_order':False,'descr':'<f8'}", "12345678");
  CHECK(io::parse_npy(bytes_of(scalar), "x").shape.empty());
  const std::string empty = file_of("{'descr': '|u1', 'fortran_order': False, 'shape': (0, 5), }\n", "");
  CHECK(io::parse_npy(bytes_of(empty), "x").data.empty());
}

TEST_CASE("malformed files are refused") {
  const std::string good = "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }\n";
  check_refused("", "not a .npy file");
  check_refused("\x93NUMPY", "not a .npy file");
  check_refused("\x93NUMPX\x01\0\0\0abc", "not a .npy file");
  check_refused(std::string("\x93NUMPY\x01\0\x05", 9), "ends inside the header");
  check_refused(std::string("\x93NUMPY\x01\0\x05\0{", 11), "ends inside the header");
  check_refused(std::string("\x93NUMPY\x02\0\xFF\xFF\xFF\xFF", 12), "4294967295 bytes, expected at most 10000");
  check_refused(file_of(good, "abc", 4), "format 4, expected 1 to 3");
  check_refused(file_of(good, "abc", '\xFF'), "format 255, expected 1 to 3");
  check_refused(file_of(good, "ab"), "2 bytes of data, expected 3");
  check_refused(file_of(good, "abcd"), "4 bytes of data, expected 3");

  const auto check_header = [](const std::string& header, const std::string& expected) {
    check_refused(file_of(header, "abc"), expected);
  };
  check_header("", "expected {");
  check_header("[]", "expected {");
  check_header("{}", "lacks one of");
  check_header("{'descr': '|u1', 'fortran_order': False, }", "lacks one of");
  check_header("{'descr': '|u1', 'fortran_order': False, 'shape': (3,)", "expected }");
  check_header("{'descr': '|u1', 'fortran_order': False, 'shape': (3,)} x", "goes on after '}'");
  check_header("{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (3,)}", "repeated key 'descr'");
  check_header("{'descr': '|u1', 'fortran_order': False, 'shape': (3,), 'x': 1}", "unexpected or repeated key 'x'");
  check_header("{'descr': '|u1', 'fortran_order': True, 'shape': (3,)}", "Fortran order");
  check_header("{'descr': '|u1', 'fortran_order': 0, 'shape': (3,)}", "expected False");
  check_header("{'descr': '>f4', 'fortran_order': False, 'shape': (3,)}", "element type '>f4' is not supported");
  check_header("{'descr': '|O', 'fortran_order': False, 'shape': (3,)}", "element type '|O' is not supported");
  check_header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}", "expected '");
  check_header("{'descr': '|u1', 'fortran_order': False, 'shape': 3}", "expected (");
  check_header("{'descr': '|u1', 'fortran_order': False, 'shape': (-3,)}", "malformed shape");
  check_header("{'descr': '|u1', 'fortran_order': False, 'shape': (x,)}", "malformed shape");
  check_header("{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999,)}", "malformed shape");
  check_header("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "the shape overflows");
  check_header("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4294967296, 4294967296)}", "the shape overflows");
  check_header("{'descr': '\x1b[2J', 'fortran_order': False, 'shape': (3,)}", "expected printable ASCII");
}

TEST_CASE("every change of one byte of an array file either loads or throws an Error") {
  const std::string valid = file_of("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }\n", "abcdefgh");
  for (std::size_t position = 0; position < valid.size(); ++position)
    for (int value = 0; value < 256; ++value) {
      std::string file = valid;
      file[position] = static_cast<char>(value);
      try {
        if (io::parse_npy(bytes_of(file), "x").data.size() != 8) FAIL("the array does not cover the data");
      } catch (const Error&) {
      }
    }
  for (std::size_t size = 0; size < valid.size(); ++size)
    CHECK_THROWS_AS(io::parse_npy(bytes_of(valid.substr(0, size)), "x"), Error);
}

TEST_CASE("the written bytes are those of NumPy's format 1.0") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path / "a.npy";
  io::write_npy<std::uint8_t>(path, std::vector<std::int64_t>{2, 3},
                              std::vector<std::uint8_t>{'a', 'b', 'c', 'd', 'e', 'f'});
  std::ifstream stream(path, std::ios::binary);
  const std::string written{std::istreambuf_iterator<char>(stream), {}};
  const std::string dictionary = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }";
  const std::string header = dictionary + std::string(128 - 10 - 1 - dictionary.size(), ' ') + "\n";
  CHECK(written == file_of(header, "abcdef"));
}

TEST_CASE("an array file that the writer writes the reader reads") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path / "a.npy";
  const std::vector<std::vector<std::int64_t>> shapes = {{}, {1}, {1, 1, 1}, {0}, std::vector<std::int64_t>(60, 1)};
  for (const auto& shape : shapes)
    for (const auto& [descr, dtype] : io::detail::npy_dtypes) {
      const std::string data(shape == std::vector<std::int64_t>{0} ? 0 : size_of(dtype), 'x');
      io::write_npy(path, dtype, shape, bytes_of(data));
      const io::NpyFile file(path);
      CHECK(file.array().dtype == dtype);
      CHECK(file.array().shape == shape);
      CHECK(std::ranges::equal(file.array().data, bytes_of(data)));
      CHECK(std::filesystem::file_size(path) % 64 == data.size() % 64);
    }
}

TEST_CASE("the array writer refuses what the reader would refuse") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path / "a.npy";
  const std::vector<std::int64_t> shape = {2};
  CHECK_THROWS_WITH(io::write_npy(path, DType::bf16, shape, bytes_of("abcd")), contains("no type for bf16"));
  CHECK_THROWS_WITH(io::write_npy(path, DType::f32, shape, bytes_of("abcd")), contains("4 bytes of f32 do not fit"));
  CHECK_THROWS_WITH(io::write_npy(path, DType::u8, std::vector<std::int64_t>(5000, 1), bytes_of("a")),
                    contains("5000 dimensions"));
  CHECK(std::filesystem::is_empty(folder.path));
}

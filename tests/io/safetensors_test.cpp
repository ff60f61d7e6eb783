#include "tessera/io/safetensors.hpp"

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <sys/resource.h>

#include "catch.hpp"
#include "support/errors.hpp"
#include "support/temporary_folder.hpp"

using namespace tessera;
using test::contains;
using test::starts_with;
using test::TemporaryFolder;

namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string with_length(std::uint64_t length, const std::string& rest) {
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file + rest;
}

// A file of this header and `data_size` bytes 0, 1, 2, …
std::string file_of(const std::string& header, std::size_t data_size) {
  std::string data;
  for (std::size_t i = 0; i < data_size; ++i) data += static_cast<char>(i);
  return with_length(header.size(), header + data);
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

void check_refused(const std::string& file, const std::vector<std::string>& expected) {
  const std::string message = test::error_message([&] { io::parse_safetensors(bytes_of(file), "model.safetensors"); });
  CHECK_THAT(message, starts_with("model.safetensors: "));
  for (const std::string& part : expected) CHECK_THAT(message, contains(part));
}

std::string content_of(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void write_file(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::size_t files_in(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
}

}  // namespace

TEST_CASE("a valid file is listed") {
  const std::string file =
      file_of("{\"__metadata__\":{\"format\":\"pt\"}," + entry("b", "F32", "[2,1]", "[0,8]") + "," +
                  entry("a", "BF16", "[]", "[8,10]") + "," + entry("none", "I64", "[3,0]", "[10,10]") + "}   ",
              10);
  const io::SafetensorsContent content = io::parse_safetensors(bytes_of(file), "x");
  REQUIRE(content.tensors.size() == 3);
  CHECK(content.tensors[0].name == "a");
  CHECK(content.tensors[0].dtype == DType::bf16);
  CHECK(content.tensors[0].shape.empty());
  CHECK(content.tensors[0].data.size() == 2);
  CHECK(content.tensors[0].data[0] == std::byte{8});
  CHECK(content.tensors[1].name == "b");
  CHECK(content.tensors[1].shape == std::vector<std::int64_t>{2, 1});
  CHECK(content.tensors[1].data.size() == 8);
  CHECK(content.tensors[2].data.empty());
  CHECK(content.metadata == std::map<std::string, std::string>{{"format", "pt"}});
}

TEST_CASE("a file without tensors is valid") {
  CHECK(io::parse_safetensors(bytes_of(file_of("{}", 0)), "x").tensors.empty());
}

TEST_CASE("every dtype of the format is known") {
  for (const auto& [name, bits, dtype] : io::detail::safetensors_dtypes) {
    const std::string file =
        file_of("{" + entry("t", std::string(name), "[8]", "[0," + std::to_string(bits) + "]") + "}",
                static_cast<std::size_t>(bits));
    const io::SafetensorsContent content = io::parse_safetensors(bytes_of(file), "x");
    CHECK(content.tensors.size() + content.unsupported.size() == 1);
    if (dtype) CHECK(size_of(*dtype) * 8 == static_cast<std::size_t>(bits));
  }
}

TEST_CASE("a bad header is refused") {
  check_refused("", {"0 bytes found, expected at least 8"});
  check_refused("1234567", {"7 bytes found"});
  check_refused(with_length(100'000'001, std::string(100, ' ')), {"100000001 bytes, expected at most 100000000"});
  check_refused(with_length(UINT64_MAX, "{}"), {"18446744073709551615 bytes, expected at most"});
  check_refused(with_length(3, "{}"), {"header of 3 bytes ends outside the file of 10 bytes"});
  check_refused(with_length(0, ""), {"does not begin with '{'"});
  check_refused(file_of(" {}", 0), {"does not begin with '{'"});
  check_refused(file_of("[]", 0), {"does not begin with '{'"});
  check_refused(file_of("{}\n", 0), {"does not end with '}'"});
  check_refused(file_of(std::string("{}\0", 3), 0), {"does not end with '}'"});
  check_refused(file_of("{}{}", 0), {"not valid JSON", "column 3"});
  check_refused(file_of("{\"a\"}", 0), {"not valid JSON"});
  check_refused(file_of("{\"\xFF\":{}}", 0), {"UTF-8"});
  check_refused(file_of("{\"a\":[[[[]]]]}", 0), {"deeper than 3 levels"});
  check_refused(file_of("{" + entry("a", "U8", "[1]", "[0,1]") + "," + entry("a", "U8", "[1]", "[1,2]") + "}", 2),
                {"'a' twice"});
}

TEST_CASE("a bad entry is refused with its tensor's name") {
  const auto check = [](const std::string& text, const std::string& expected) {
    check_refused(file_of("{" + text + "}", 8), {expected});
  };
  check("\"w\":3", "tensor 'w': expected a JSON object");
  check("\"w\":{\"dtype\":\"F32\",\"shape\":[2]}", "tensor 'w': the field 'data_offsets' is missing");
  check("\"w\":{\"shape\":[2],\"data_offsets\":[0,8]}", "tensor 'w': the field 'dtype' is missing");
  check("\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}", "tensor 'w': the field 'shape' is missing");
  check("\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"strides\":[1]}", "unknown field 'strides'");
  check("\"w\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}", "dtype: '7' found, expected a string");
  check(entry("w", "F31", "[2]", "[0,8]"), "tensor 'w': dtype 'F31' is unknown");
  check(entry("w", "F32", "2", "[0,8]"), "shape: '2' found, expected an array");
  check(entry("w", "F32", "[2.0]", "[0,8]"), "shape: '2.0' found, expected an integer");
  check(entry("w", "F32", "[-2]", "[0,8]"), "F32 of shape '[-2]' has no valid size");
  check(entry("w", "F32", "[4294967296,4294967296]", "[0,8]"), "has no valid size");
  check(entry("w", "F32", "[4611686018427387904]", "[0,8]"), "has no valid size");  // 2^62 × 4 bytes
  check(entry("w", "F32", "[18446744073709551616]", "[0,8]"), "expected an integer");
  check(entry("w", "F32", "[18446744073709551615]", "[0,8]"), "out of range");
  check(entry("w", "F4", "[15]", "[0,8]"), "F4 of shape '[15]' has no valid size");
  check(entry("w", "F32", "[3]", "[0,8]"), "tensor 'w': 8 bytes of data, expected 12 for F32 of shape '[3]'");
  check(entry("w", "F32", "[2]", "[0]"), "data_offsets has 1 numbers, expected 2");
  check(entry("w", "F32", "[2]", "[0,4,8]"), "data_offsets has 3 numbers, expected 2");
  check(entry("w", "F32", "[2]", "[8,0]"), "begins at 8 after its end 0");
  check(entry("w", "F32", "[2]", "[-8,0]"), "out of range");
  check(entry("w", "F32", "[2]", "[0,9]"), "tensor 'w': data_offsets ends at byte 9, but the file has 8 bytes");
  check(entry("w", "F32", "[2]", "[18446744073709551608,18446744073709551615]"), "but the file has 8 bytes");
  check("\"__metadata__\":3", "__metadata__: expected a JSON object");
  check("\"__metadata__\":null", "__metadata__: expected a JSON object");
  check("\"__metadata__\":{\"a\":1}", "__metadata__: '1' found, expected a string");
}

TEST_CASE("the tensors must cover the data exactly once") {
  const std::string a = entry("a", "U8", "[4]", "[0,4]");
  check_refused(file_of("{" + a + "," + entry("b", "U8", "[4]", "[3,7]") + "}", 7),
                {"tensor 'b': its data begins at byte 3, expected 4 (overlap)"});
  check_refused(file_of("{" + a + "," + entry("b", "U8", "[2]", "[1,3]") + "}", 4), {"tensor 'b'", "(overlap)"});
  check_refused(file_of("{" + a + "," + entry("b", "U8", "[4]", "[0,4]") + "}", 4), {"tensor 'b'", "(overlap)"});
  check_refused(file_of("{" + a + "," + entry("b", "U8", "[2]", "[5,7]") + "}", 7),
                {"tensor 'b': its data begins at byte 5, expected 4 (hole)"});
  check_refused(file_of("{" + entry("b", "U8", "[2]", "[1,3]") + "}", 3), {"begins at byte 1, expected 0 (hole)"});
  check_refused(file_of("{" + a + "," + entry("b", "U8", "[0]", "[2,2]") + "}", 4), {"tensor 'b'", "(overlap)"});
  check_refused(file_of("{" + a + "}", 5), {"the tensors end at byte 4, but the file has 5 bytes of data"});
  check_refused(file_of("{}", 1), {"the tensors end at byte 0, but the file has 1 bytes of data"});
}

TEST_CASE("one error lists all offending tensors") {
  check_refused(file_of("{" + entry("a", "F31", "[4]", "[0,4]") + "," + entry("b", "U8", "[5]", "[4,8]") + "," +
                            entry("c", "U8", "[2]", "[9,11]") + "}",
                        12),
                {"'a': dtype 'F31'", "'b': 4 bytes of data, expected 5", "'c': its data begins", "end at byte 11"});

  std::string header = "{";
  for (int i = 0; i < 50; ++i) header += (i > 0 ? "," : "") + entry("t" + std::to_string(i), "F31", "[0]", "[0,0]");
  check_refused(file_of(header + "}", 0), {"'t0'", "'t49'"});
}

TEST_CASE("a dtype without support is an error only when asked for") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path / "f8.safetensors";
  write_file(path,
             file_of("{" + entry("a", "F8_E4M3", "[2]", "[0,2]") + "," + entry("b", "U8", "[2]", "[2,4]") + "}", 4));
  const io::SafetensorsFile file(path);
  CHECK(file.names() == std::vector<std::string>{"a", "b"});
  CHECK(file.find("b") != nullptr);
  CHECK(file.find("c") == nullptr);
  CHECK_THROWS_WITH(file.find("a"), path.string() + ": tensor 'a': dtype F8_E4M3 is not supported");
}

TEST_CASE("every change of one byte of a file either loads or throws an Error") {
  const std::string valid = file_of("{\"__metadata__\":{\"k\":\"v\"}," + entry("a", "F32", "[2,1]", "[0,8]") + "," +
                                        entry("b", "U8", "[3]", "[8,11]") + "} ",
                                    11);
  int loaded = 0;
  for (std::size_t position = 0; position < valid.size(); ++position)
    for (int value = 0; value < 256; ++value) {
      std::string file = valid;
      file[position] = static_cast<char>(value);
      try {
        const io::SafetensorsContent content = io::parse_safetensors(bytes_of(file), "x");
        std::size_t total = 0;
        for (const io::TensorView& tensor : content.tensors) total += tensor.data.size();
        if (content.unsupported.empty() && total != 11) FAIL("the tensors do not cover the data");
        ++loaded;
      } catch (const Error&) {
      }
    }
  CHECK(loaded > 11 * 256);  // all changes of the data, and some of names
  for (std::size_t size = 0; size < valid.size(); ++size)
    CHECK_THROWS_AS(io::parse_safetensors(bytes_of(valid.substr(0, size)), "x"), Error);
}

TEST_CASE("what the writer writes the reader reads") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path / "model.safetensors";
  const std::string data = "0123456789abcdefghijklmnopqrstuvwxyz";
  const std::span<const std::byte> bytes = bytes_of(data);
  const std::vector<io::TensorView> tensors = {{"z", DType::u8, {3}, bytes.first(3)},
                                               {"y \"quoted\" é", DType::f32, {1, 2}, bytes.subspan(3, 8)},
                                               {"x", DType::bf16, {5}, bytes.subspan(11, 10)},
                                               {"w", DType::i64, {}, bytes.subspan(21, 8)},
                                               {"v", DType::f32, {0, 7}, {}}};
  io::write_safetensors(path, tensors, {{"format", "pt"}});
  CHECK(files_in(folder.path) == 1);

  const io::SafetensorsFile file(path);
  CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}});
  for (const io::TensorView& written : tensors) {
    const io::TensorView* read = file.find(written.name);
    REQUIRE(read != nullptr);
    CHECK(read->dtype == written.dtype);
    CHECK(read->shape == written.shape);
    CHECK(std::ranges::equal(read->data, written.data));
    file.release(*read);
    CHECK(std::ranges::equal(read->data, written.data));
  }
  // Descending element size, then name; every tensor is aligned to its elements.
  CHECK(file.find("w")->data.data() < file.find("y \"quoted\" é")->data.data());
  CHECK(file.find("y \"quoted\" é")->data.data() < file.find("x")->data.data());
  CHECK(file.find("x")->data.data() < file.find("z")->data.data());
  CHECK(reinterpret_cast<std::uintptr_t>(file.find("w")->data.data()) % 8 == 0);
}

TEST_CASE("the writer's bytes are those of the reference writer") {
  const TemporaryFolder folder;
  const std::string data = "01234567";
  const std::vector<io::TensorView> tensors = {{"b", DType::u8, {2, 1}, bytes_of(data).first(2)},
                                               {"a", DType::f16, {3}, bytes_of(data).subspan(2)}};
  io::write_safetensors(folder.path / "f", tensors, {{"format", "pt"}});
  const std::string header =
      "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[0,6]},"
      "\"b\":{\"dtype\":\"U8\",\"shape\":[2,1],\"data_offsets\":[6,8]}}";
  const std::string padding((8 - header.size() % 8) % 8, ' ');
  CHECK(content_of(folder.path / "f") == with_length(header.size() + padding.size(), header + padding + "23456701"));
}

TEST_CASE("the writer refuses what the reader would refuse") {
  const TemporaryFolder folder;
  const std::string data = "01234567";
  const auto check = [&](const std::vector<io::TensorView>& tensors, const std::string& expected) {
    CHECK_THROWS_WITH(io::write_safetensors(folder.path / "f", tensors), contains(expected));
    CHECK(files_in(folder.path) == 0);
  };
  const io::TensorView good{"a", DType::f32, {2}, bytes_of(data)};
  check({good, good}, "tensor 'a': this name is reserved or given twice");
  check({{"__metadata__", DType::f32, {2}, bytes_of(data)}}, "reserved");
  check({{"a", DType::f32, {3}, bytes_of(data)}}, "tensor 'a': 8 bytes of data do not fit F32 of shape [3]");
  check({{"a", DType::f32, {-2}, bytes_of(data)}}, "do not fit");
  check({{"a\xFF", DType::f32, {2}, bytes_of(data)}}, "not UTF-8");
}

TEST_CASE("a failed write leaves the old file and nothing else") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path / "model.safetensors";
  write_file(path, "old");
  const std::string data(1 << 20, 'x');
  const std::vector<io::TensorView> tensors = {{"a", DType::u8, {1 << 20}, bytes_of(data)}};

  // A limit on file sizes behaves as a full disk does.
  struct rlimit limit {};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  const struct rlimit small = {.rlim_cur = 64 << 10, .rlim_max = limit.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  const std::string message = test::error_message([&] { io::write_safetensors(path, tensors); });
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, handler);

  CHECK_THAT(message, starts_with(path.string() + ": cannot be written: "));
  CHECK(content_of(path) == "old");
  CHECK(files_in(folder.path) == 1);

  io::write_safetensors(path, tensors);
  CHECK(io::SafetensorsFile(path).find("a")->data.size() == data.size());
  CHECK(files_in(folder.path) == 1);
}

TEST_CASE("the writer refuses folders, devices and missing folders") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(io::write_safetensors(folder.path, {}), contains("not a regular file"));
  CHECK_THROWS_WITH(io::write_safetensors("/dev/full", {}), contains("/dev/full") && contains("not a regular file"));
  CHECK_THROWS_WITH(io::write_safetensors(folder.path / "missing" / "f", {}), contains("No such file"));
}

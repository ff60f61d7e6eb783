#include "tessera/io/decode_image.hpp"

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "catch.hpp"
#include "image_cases.hpp"
#include "support/temporary_folder.hpp"

namespace {

using namespace tessera::io;
using tessera::test::contains;

std::vector<std::byte> read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::string> file_names() {
  std::vector<std::string> names;
  for (const json& test : image_cases::read("decode.json")) names.push_back(test["file"]);
  return names;
}

/// Whether the bytes decode; anything but an image of the right size or an Error fails the test.
bool decodes(std::span<const std::byte> bytes) {
  DecodeOptions options;
  options.max_pixels = 1 << 20;  // flipped bits may ask for huge images
  try {
    const Image image = decode_image(bytes, "test", options);
    REQUIRE(image.rgb.size() == std::size_t{3} * image.width * image.height);
    return true;
  } catch (const tessera::Error& error) {
    const std::string message = error.what();
    REQUIRE(message.starts_with("test: "));
    REQUIRE(message.find('\n') == std::string::npos);
    return false;
  }
}

void put_big_endian(std::vector<std::byte>& bytes, std::size_t at, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) bytes[at + i] = static_cast<std::byte>(value >> (24 - 8 * i));
}

}  // namespace

TEST_CASE("image files decode to Pillow's pixels") {
  DecodeOptions as_stored;
  as_stored.apply_exif_orientation = false;
  for (const json& test : image_cases::read("decode.json")) {
    const std::string file = test["file"];
    CAPTURE(file);
    const Image image = decode_image(image_cases::folder() / file);
    CHECK(image.width == test["width"]);
    CHECK(image.height == test["height"]);
    CHECK(image_cases::crc32(image) == test["rgb"]);
    CHECK(image_cases::crc32(decode_image(image_cases::folder() / file, as_stored)) == test["as_stored"]);
  }
}

TEST_CASE("truncated image files are refused") {
  for (const std::string& file : file_names()) {
    CAPTURE(file);
    const auto bytes = read_file(image_cases::folder() / file);
    // Pixels end at least 12 bytes (an IEND chunk) or 2 bytes (an EOI marker) before the file does. Metadata behind the
    // pixels may be lost.
    const std::size_t needed = file == "no_end.png"               ? bytes.size()
                               : file == "exif8_after_pixels.png" ? bytes.size() - 12 - 12 - 38
                               : file.ends_with(".png")           ? bytes.size() - 12
                                                                  : bytes.size() - 2;
    for (std::size_t size = 0; size + 5 < needed; size += size < 40 ? 1 : 97) {
      CAPTURE(size);
      REQUIRE_FALSE(decodes(std::span(bytes).first(size)));
    }
  }
}

TEST_CASE("damaged image files never crash") {
  for (const std::string& file : file_names()) {
    const auto intact = read_file(image_cases::folder() / file);
    std::uint32_t random = 1;
    for (int trial = 0; trial < 60; ++trial) {
      auto bytes = intact;
      for (int flips = 0; flips < 3; ++flips) {
        random = random * 1664525u + 1013904223u;
        bytes[(random >> 8) % bytes.size()] ^= static_cast<std::byte>(1u << (random >> 5 & 7));
      }
      CAPTURE(file, trial);
      decodes(bytes);
    }
  }
}

TEST_CASE("images above the limits are refused before memory is asked for") {
  auto bomb = read_file(image_cases::folder() / "one_pixel.png");
  const std::size_t width_at = 16, checksum_at = 29;
  put_big_endian(bomb, width_at, 60'000);
  put_big_endian(bomb, width_at + 4, 60'000);
  put_big_endian(bomb, checksum_at, crc32(std::span(bomb).subspan(12, 17)));
  CHECK_THROWS_WITH(
      decode_image(bomb, "bomb.png"),
      "bomb.png: the image is 60000 x 60000 pixels, expected 1 to 65535 a side and at most 178956970 in all");

  const auto jpeg = read_file(image_cases::folder() / "rgb444.jpg");  // 45 x 35
  DecodeOptions options;
  options.max_side = 44;
  CHECK_THROWS_AS(decode_image(jpeg, "test", options), tessera::Error);
  options.max_side = 45;
  options.max_pixels = 45 * 35 - 1;
  CHECK_THROWS_AS(decode_image(jpeg, "test", options), tessera::Error);
  options.max_pixels = 45 * 35;
  CHECK_NOTHROW(decode_image(jpeg, "test", options));
}

TEST_CASE("a PNG chunk that claims gigabytes is refused") {
  auto bytes = read_file(image_cases::folder() / "xmp5.png");
  const std::size_t text_chunk_at = 33;  // behind the signature and IHDR
  put_big_endian(bytes, text_chunk_at, 0x7000'0000);
  CHECK_THROWS_WITH(decode_image(bytes, "test"), contains("end too early"));
}

TEST_CASE("what is no image is refused by name") {
  CHECK_THROWS_WITH(decode_image(image_cases::folder() / "missing.png"), contains("missing.png"));
  CHECK_THROWS_WITH(decode_image(image_cases::folder() / "decode.json"), contains("expected PNG or JPEG"));
  CHECK_THROWS_WITH(decode_image(std::span<const std::byte>(), "empty.jpg"), contains("empty"));
}

TEST_CASE("a written PNG file reads back the same") {
  const Image image = image_cases::synthetic(37, 23, "noise");
  const tessera::test::TemporaryFolder folder;
  const auto path = folder.path / "image.png";
  write_png(path, image);
  const Image again = decode_image(path);
  CHECK(again.width == image.width);
  CHECK(again.height == image.height);
  CHECK(again.rgb == image.rgb);
  CHECK_THROWS_AS(write_png(path, Image{2, 2, {}}), tessera::Error);
  CHECK_THROWS_AS(write_png(path / "no" / "folder.png", image), tessera::Error);
}

// Any bytes either are a PNG file of a small image, which then is complete, or throw an Error. Chunk checksums are
// repaired first: they would stop nearly every change at the door.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "tessera/io/png.hpp"

#include "../io/crc32.hpp"

namespace {

std::uint32_t read_big_endian(std::span<const std::byte, 4> bytes) {
  std::uint32_t value = 0;
  for (const std::byte byte : bytes) value = value << 8 | std::to_integer<std::uint32_t>(byte);
  return value;
}

/// Walks the chunks (length, kind, content, checksum) behind the signature.
void repair_checksums(std::span<std::byte> file) {
  constexpr std::size_t signature_bytes = 8, around_content = 12;
  std::span<std::byte> rest = file.subspan(std::min(signature_bytes, file.size()));
  while (rest.size() >= around_content) {
    const std::uint32_t content_bytes = read_big_endian(rest.first<4>());
    if (content_bytes > rest.size() - around_content) return;
    const std::uint32_t checksum = crc32(rest.subspan(4, 4 + std::size_t{content_bytes}));
    rest = rest.subspan(8 + std::size_t{content_bytes});
    for (int i = 0; i < 4; ++i) rest[i] = static_cast<std::byte>(checksum >> (24 - 8 * i));
    rest = rest.subspan(4);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const auto given = std::as_bytes(std::span(bytes, size));
  std::vector<std::byte> file(given.begin(), given.end());
  repair_checksums(file);
  tessera::io::DecodeOptions options;
  options.max_pixels = 1 << 16;
  try {
    const tessera::io::Image image = tessera::io::decode_png(file, "input", options);
    if (image.width < 1 || image.height < 1 || image.width > options.max_pixels / image.height) std::abort();
    if (image.rgb.size() != std::size_t{3} * image.width * image.height) std::abort();
  } catch (const tessera::Error&) {
  }
  return 0;
}

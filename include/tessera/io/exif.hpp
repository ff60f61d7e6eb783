#pragma once
/// The orientation that a camera noted in a picture's metadata. Metadata are untrusted and optional: whatever is broken
/// or out of range counts as "not given", as in Pillow's `ImageOps.exif_transpose`.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "tessera/io/image.hpp"

namespace tessera::io {

namespace detail {

/// Bounds-checked integers of a TIFF block.
class TiffReader {
 public:
  explicit TiffReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  void set_little_endian(bool little_endian) { little_endian_ = little_endian; }

  std::optional<std::uint32_t> read(std::size_t offset, std::size_t size) const {
    if (offset > bytes_.size() || size > bytes_.size() - offset) return std::nullopt;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const std::size_t position = little_endian_ ? size - 1 - i : i;
      value = value << 8 | std::to_integer<std::uint32_t>(bytes_[offset + position]);
    }
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
  bool little_endian_ = false;
};

inline std::optional<int> valid_orientation(std::uint32_t value) {
  return value >= 1 && value <= 8 ? std::optional<int>(static_cast<int>(value)) : std::nullopt;
}

}  // namespace detail

/// The orientation tag (1 … 8) of a TIFF block: the content of PNG's eXIf chunk, or of a JPEG APP1 segment after
/// "Exif\0\0". Only the first directory (the picture's, not the thumbnail's) is read. See TIFF 6.0, section 2.
inline std::optional<int> exif_orientation(std::span<const std::byte> tiff) {
  constexpr std::uint32_t magic = 42, orientation_tag = 274;
  constexpr std::size_t entry_bytes = 12;
  detail::TiffReader reader(tiff);
  const auto byte_order = reader.read(0, 2);
  if (byte_order != 0x4949u && byte_order != 0x4D4Du) return std::nullopt;
  reader.set_little_endian(byte_order == 0x4949u);
  const auto directory = reader.read(4, 4);
  if (reader.read(2, 2) != magic || !directory) return std::nullopt;

  const std::uint32_t entries = reader.read(*directory, 2).value_or(0);
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::size_t entry = std::size_t{*directory} + 2 + i * entry_bytes;
    const auto tag = reader.read(entry, 2), type = reader.read(entry + 2, 2), count = reader.read(entry + 4, 4);
    if (!count) return std::nullopt;
    if (tag != orientation_tag) continue;
    const std::size_t value_bytes = type == 3u ? 2 : type == 4u ? 4 : 0;  // SHORT, LONG
    const auto value = reader.read(entry + 8, value_bytes);
    if (value_bytes == 0 || count != 1u || !value) return std::nullopt;
    return detail::valid_orientation(*value);
  }
  return std::nullopt;
}

/// The same from an XMP packet, where editors write `tiff:Orientation="6"` or `<tiff:Orientation>6<`.
inline std::optional<int> xmp_orientation(std::string_view xmp) {
  constexpr std::string_view key = "tiff:Orientation";
  for (std::size_t at = xmp.find(key); at != std::string_view::npos; at = xmp.find(key, at + 1)) {
    std::string_view rest = xmp.substr(at + key.size());
    if (rest.starts_with("=\"")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with(">")) {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') {
      return detail::valid_orientation(static_cast<std::uint32_t>(rest[0] - '0'));
    }
  }
  return std::nullopt;
}

/// Turns and mirrors an image so that it stands upright; `orientation` is the EXIF value 1 … 8.
inline Image apply_orientation(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8) return image;
  const bool transposed = orientation >= 5;
  const bool mirror_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image upright = transposed ? filled_image(image.height, image.width) : filled_image(image.width, image.height);
  for (int y = 0; y < upright.height; ++y) {
    std::uint8_t* target = upright.row(y);
    for (int x = 0; x < upright.width; ++x) {
      const auto [u, v] = transposed ? std::pair(y, x) : std::pair(x, y);
      const std::uint8_t* source =
          image.row(mirror_y ? image.height - 1 - v : v) + std::size_t{3} * (mirror_x ? image.width - 1 - u : u);
      for (int channel = 0; channel < 3; ++channel) *target++ = source[channel];
    }
  }
  return upright;
}

}  // namespace tessera::io

#pragma once
/// An 8-bit RGB image in memory.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tessera/core/error.hpp"

namespace tessera::io {

/// One colour: red, green, blue.
using Rgb = std::array<std::uint8_t, 3>;

/// Interleaved RGB rows from top to bottom: `rgb` holds height × width × 3 bytes.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> rgb;

  std::uint8_t* row(int y) { return rgb.data() + static_cast<std::size_t>(y) * width * 3; }
  const std::uint8_t* row(int y) const { return rgb.data() + static_cast<std::size_t>(y) * width * 3; }
};

/// Throws an Error that starts with `where` unless the image has pixels, and as many bytes as they take.
inline void check_image(const Image& image, std::string_view where) {
  if (image.width < 1 || image.height < 1 || image.rgb.size() != std::size_t{3} * image.width * image.height) {
    fail(where, ": ", image.rgb.size(), " bytes for ", image.width, " x ", image.height, " pixels, expected RGB");
  }
}

/// A width × height image of one colour.
inline Image filled_image(int width, int height, Rgb colour = {0, 0, 0}) {
  Image image{width, height, std::vector<std::uint8_t>(static_cast<std::size_t>(width) * height * 3)};
  if (colour == Rgb{0, 0, 0}) return image;
  for (std::size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = colour[i % 3];
  return image;
}

}  // namespace tessera::io

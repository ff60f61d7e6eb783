#pragma once
/// An 8-bit RGB image in memory.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera::io {

/// Interleaved RGB rows from top to bottom: `rgb` holds height × width × 3 bytes.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> rgb;

  std::uint8_t* row(int y) { return rgb.data() + static_cast<std::size_t>(y) * width * 3; }
  const std::uint8_t* row(int y) const { return rgb.data() + static_cast<std::size_t>(y) * width * 3; }
};

}  // namespace tessera::io

#pragma once
// What the image tests share: the synthetic images and checksums of tests/reference/make_images.py.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "tessera/io/image.hpp"
#include "tessera/io/json.hpp"

#include "crc32.hpp"

namespace image_cases {

inline std::filesystem::path folder() { return std::filesystem::path(TESSERA_TEST_DATA) / "images"; }

inline tessera::io::json read(const std::string& name) { return tessera::io::read_json_file(folder() / name); }

/// The checksum of the pixels.
inline std::uint32_t crc32(const tessera::io::Image& image) { return ::crc32(std::as_bytes(std::span(image.rgb))); }

/// Noise ("noise"), or noise of only 0 and 255 ("extremes").
inline tessera::io::Image synthetic(int width, int height, std::string_view kind) {
  tessera::io::Image image = tessera::io::filled_image(width, height);
  for (std::uint32_t y = 0; y < static_cast<std::uint32_t>(height); ++y) {
    for (std::uint32_t i = 0; i < static_cast<std::uint32_t>(width) * 3; ++i) {
      std::uint32_t value = i / 3 * 2654435761u + y * (40503u * 65537u) + i % 3 * 974711u;
      value = (value ^ value >> 15) * 2246822519u;
      value = (value ^ value >> 13) * 3266489917u;
      image.row(static_cast<int>(y))[i] =
          static_cast<std::uint8_t>(kind == "noise" ? value >> 24 : (value >> 31) * 255);
    }
  }
  return image;
}

}  // namespace image_cases

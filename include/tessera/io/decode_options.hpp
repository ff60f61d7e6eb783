#pragma once
/// What the image decoders may be told, and the size limits that they keep.

#include <cstdint>
#include <string_view>

#include "tessera/core/error.hpp"

namespace tessera::io {

struct DecodeOptions {
  bool apply_exif_orientation = true;
  int max_side = 65'535;
  std::int64_t max_pixels = 178'956'970;  ///< Pillow calls anything larger a decompression bomb.
};

/// Refuses an image that is empty or above the limits, before anything is allocated for it.
inline void check_decoded_size(std::int64_t width, std::int64_t height, std::string_view name,
                               const DecodeOptions& options) {
  if (width < 1 || height < 1 || width > options.max_side || height > options.max_side ||
      width * height > options.max_pixels) {
    fail(name, ": the image is ", width, " x ", height, " pixels, expected 1 to ", options.max_side,
         " a side and at most ", options.max_pixels, " in all");
  }
}

}  // namespace tessera::io

#pragma once
/// Image files of any supported format to RGB.

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "tessera/core/error.hpp"
#include "tessera/io/decode_options.hpp"
#include "tessera/io/image.hpp"
#include "tessera/io/jpeg.hpp"
#include "tessera/io/mapped_file.hpp"
#include "tessera/io/png.hpp"

namespace tessera::io {

/// Decodes a JPEG or PNG file held in memory, told apart by its first bytes. The result equals that of Pillow and
/// transformers' `load_image`. `name` names the file in errors.
inline Image decode_image(std::span<const std::byte> bytes, std::string_view name, const DecodeOptions& options = {}) {
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (start.starts_with("\x89PNG\r\n\x1A\n")) return decode_png(bytes, name, options);
  if (start.starts_with("\xFF\xD8\xFF")) return decode_jpeg(bytes, name, options);
  fail(name, bytes.empty() ? ": the file is empty" : ": not an image file that is known here",
       ", expected PNG or JPEG");
}

/// Reads and decodes a JPEG or PNG file.
inline Image decode_image(const std::filesystem::path& path, const DecodeOptions& options = {}) {
  const MappedFile file(path);
  return decode_image(file.bytes(), path.string(), options);
}

}  // namespace tessera::io

#pragma once
/// PNG files through libpng, to the same bytes as Pillow.

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <png.h>

#include "tessera/core/error.hpp"
#include "tessera/io/atomic_file.hpp"
#include "tessera/io/decode_options.hpp"
#include "tessera/io/exif.hpp"
#include "tessera/io/image.hpp"

namespace tessera::io {

namespace detail {

/// Owns a libpng reader over a file in memory. libpng reports errors by calling back and never returning, so every call
/// that reads runs inside `run` or `succeeds`, which catch the jump back. The jump skips destructors: a body may hold
/// only plain values.
class PngReader {
 public:
  PngReader(std::span<const std::byte> bytes, std::string_view name)
      : name_(name), unread_(bytes), largest_allocation_(std::max(bytes.size(), std::size_t{8'000'000})) {
    png_ = png_create_read_struct_2(
        PNG_LIBPNG_VER_STRING, this, on_error, [](png_structp, png_const_charp) {}, this, allocate,
        [](png_structp, png_voidp memory) { std::free(memory); });
    info_ = png_ != nullptr ? png_create_info_struct(png_) : nullptr;
    if (info_ == nullptr) {
      png_destroy_read_struct(&png_, &info_, nullptr);
      fail(name_, ": libpng cannot start (out of memory, or another version than ", PNG_LIBPNG_VER_STRING, ")");
    }
    png_set_read_fn(png_, this, read);
    constexpr int max_unpacked_text = 1 << 20, max_texts = 64;  // Pillow's
    png_set_chunk_malloc_max(png_, max_unpacked_text);
    png_set_chunk_cache_max(png_, max_texts);
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  png_structp png() const { return png_; }
  png_infop info() const { return info_; }

  template <class Body>
  bool succeeds(const Body& body) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    body();
    return true;
  }

  template <class Body>
  void run(const Body& body) {
    if (!succeeds(body)) fail(name_, ": not a complete, valid PNG file (", message_, ")");
  }

  std::optional<int> orientation() const {
    png_uint_32 size = 0;
    png_bytep exif = nullptr;
    if (png_get_eXIf_1(png_, info_, &size, &exif) != 0) {
      if (const auto orientation = exif_orientation(std::as_bytes(std::span(exif, size)))) return orientation;
    }
    png_textp text = nullptr;
    const int texts = png_get_text(png_, info_, &text, nullptr);
    for (int i = 0; i < texts; ++i) {
      if (std::string_view(text[i].key) == "XML:com.adobe.xmp") return xmp_orientation(text[i].text);
    }
    return std::nullopt;
  }

 private:
  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    auto* reader = static_cast<PngReader*>(png_get_error_ptr(png));
    std::snprintf(reader->message_, sizeof(reader->message_), "%s", message);
    png_longjmp(png, 1);
  }

  static void read(png_structp png, png_bytep target, std::size_t size) {
    auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
    if (size > reader->unread_.size()) png_error(png, "the data end too early");
    std::memcpy(target, reader->unread_.data(), size);
    reader->unread_ = reader->unread_.subspan(size);
  }

  // libpng believes the length that a chunk claims, up to 2 GB, before it reads the chunk.
  static png_voidp allocate(png_structp png, png_alloc_size_t size) {
    return size <= static_cast<PngReader*>(png_get_mem_ptr(png))->largest_allocation_ ? std::malloc(size) : nullptr;
  }

  std::string_view name_;
  std::span<const std::byte> unread_;
  std::size_t largest_allocation_;  // no chunk is longer than the file; small files need rows and inflate's window
  char message_[256] = "";
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
};

/// Turns the samples of a PNG file (a byte each, or two for 16 bits) into RGB. Transparency is dropped, as Pillow's
/// convert("RGB") does and as the published models saw such images.
class PngColours {
 public:
  PngColours(png_structp png, png_infop info)
      : colour_type_(png_get_color_type(png, info)),
        sample_bytes_(png_get_bit_depth(png, info) == 16 ? 2 : 1),
        channels_(png_get_channels(png, info)) {
    if (colour_type_ != PNG_COLOR_TYPE_PALETTE) {
      const int bits = std::min<int>(png_get_bit_depth(png, info), 8), levels = 1 << bits;
      for (int i = 0; i < levels; ++i) table_[i].fill(static_cast<std::uint8_t>(i * 255 / (levels - 1)));
    }
    png_colorp palette = nullptr;
    int colours = 0;
    if (colour_type_ == PNG_COLOR_TYPE_PALETTE && png_get_PLTE(png, info, &palette, &colours) != 0) {
      for (int i = 0; i < colours; ++i) table_[i] = {palette[i].red, palette[i].green, palette[i].blue};
    }
  }

  void convert_row(const std::uint8_t* samples, int width, std::uint8_t* rgb) const {
    for (int x = 0; x < width; ++x, samples += channels_ * sample_bytes_, rgb += 3) {
      const Rgb colour = colour_at(samples);
      std::copy(colour.begin(), colour.end(), rgb);
    }
  }

 private:
  /// Wide samples count by their high byte, except that Pillow clips 16-bit grey.
  Rgb colour_at(const std::uint8_t* samples) const {
    if ((colour_type_ & ~PNG_COLOR_MASK_ALPHA) == PNG_COLOR_TYPE_RGB) {
      return {samples[0], samples[sample_bytes_], samples[2 * sample_bytes_]};
    }
    const bool clip = colour_type_ == PNG_COLOR_TYPE_GRAY && sample_bytes_ == 2;
    return table_[!clip ? samples[0] : samples[0] != 0 ? 255 : samples[1]];
  }

  int colour_type_;
  int sample_bytes_;
  int channels_;
  std::array<Rgb, 256> table_{};  // of palette entries or grey levels; black where the file's palette is too short
};

}  // namespace detail

/// Decodes a PNG file held in memory: every colour type, depth and interlacing. `name` names the file in errors. What
/// is broken after the last row of pixels is forgiven, as in Pillow.
inline Image decode_png(std::span<const std::byte> bytes, std::string_view name, const DecodeOptions& options = {}) {
  detail::PngReader reader(bytes, name);
  const png_structp png = reader.png();
  const png_infop info = reader.info();
  int passes = 0;
  reader.run([&] {
    png_read_info(png, info);
    png_set_packing(png);
    passes = png_set_interlace_handling(png);
  });
  check_decoded_size(png_get_image_width(png, info), png_get_image_height(png, info), name, options);

  const detail::PngColours colours(png, info);
  reader.run([&] { png_read_update_info(png, info); });
  Image image =
      filled_image(static_cast<int>(png_get_image_width(png, info)), static_cast<int>(png_get_image_height(png, info)));
  const std::size_t row_bytes = png_get_rowbytes(png, info);
  const int rows_kept = passes == 1 ? 1 : image.height;  // interlaced files fill in the same rows pass after pass
  std::vector<std::uint8_t> samples(row_bytes * rows_kept);
  reader.run([&] {
    for (int pass = 0; pass < passes; ++pass) {
      for (int y = 0; y < image.height; ++y) {
        std::uint8_t* row = samples.data() + row_bytes * (y % rows_kept);
        png_read_row(png, row, nullptr);
        if (pass == passes - 1) colours.convert_row(row, image.width, image.row(y));
      }
    }
  });
  if (!options.apply_exif_orientation) return image;
  reader.succeeds([&] { png_read_end(png, info); });  // metadata may follow the pixels
  return apply_orientation(std::move(image), reader.orientation().value_or(1));
}

/// Encodes an image as an 8-bit RGB PNG file in memory.
inline std::vector<std::byte> encode_png(const Image& image) {
  check_image(image, "encode_png");
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(image.width);
  png.height = static_cast<png_uint_32>(image.height);
  png.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(png);
  std::vector<std::byte> bytes(size);
  if (png_image_write_to_memory(&png, bytes.data(), &size, 0, image.rgb.data(), 0, nullptr) == 0) {
    fail("encode_png: ", png.message);
  }
  bytes.resize(size);
  return bytes;
}

/// Writes an image as a PNG file, whole or not at all.
inline void write_png(const std::filesystem::path& path, const Image& image) {
  AtomicFile file(path);
  file.write(encode_png(image));
  file.commit();
}

}  // namespace tessera::io

#pragma once
/// JPEG files through libjpeg-turbo, to the same bytes as Pillow.

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>  // jpeglib.h needs FILE
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <jerror.h>
#include <jpeglib.h>

#include "tessera/core/error.hpp"
#include "tessera/io/decode_options.hpp"
#include "tessera/io/exif.hpp"
#include "tessera/io/image.hpp"

namespace tessera::io {

namespace detail {

/// Owns a libjpeg decompressor. libjpeg reports errors by calling back and never returning, so every call into it runs
/// inside `run`, which catches the jump back and throws. The jump skips destructors: a body may hold only plain values.
class JpegDecompressor {
 public:
  explicit JpegDecompressor(std::string_view name) : name_(name) {
    info_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = [](j_common_ptr info) {
      char message[JMSG_LENGTH_MAX];
      info->err->format_message(info, message);
      give_up(info, message);
    };
    errors_.base.output_message = [](j_common_ptr) {};  // warnings never reach stderr
    progress_.progress_monitor = [](j_common_ptr info) {
      // A small progressive file can order any number of passes over a large image.
      constexpr int max_scans = 500;
      if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > max_scans) give_up(info, "more than 500 scans");
    };
  }
  ~JpegDecompressor() { jpeg_destroy_decompress(&info_); }
  JpegDecompressor(const JpegDecompressor&) = delete;
  JpegDecompressor& operator=(const JpegDecompressor&) = delete;

  jpeg_decompress_struct& info() { return info_; }

  template <class Body>
  void run(const Body& body) {
    if (setjmp(errors_.jump) != 0) fail(name_, ": not a complete, valid JPEG file (", errors_.message, ")");
    body();
  }

  /// Reads everything up to the first scan.
  void open(std::span<const std::byte> bytes) {
    run([&] {
      jpeg_create_decompress(&info_);
      info_.progress = &progress_;
      jpeg_save_markers(&info_, JPEG_APP0 + 1, 0xFFFF);
      jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
      // libjpeg would pad a truncated file with an end marker and call it a warning.
      info_.src->fill_input_buffer = [](j_decompress_ptr info) -> boolean {
        ERREXIT(info, JERR_INPUT_EOF);
        return FALSE;
      };
      jpeg_read_header(&info_, TRUE);
    });
  }

  std::optional<int> orientation() const {
    constexpr std::string_view exif("Exif\0\0", 6), xmp("http://ns.adobe.com/xap/1.0/\0", 29);
    std::optional<int> from_exif, from_xmp;
    for (auto* marker = info_.marker_list; marker != nullptr; marker = marker->next) {
      const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
      if (data.starts_with(exif) && !from_exif) {
        from_exif = exif_orientation(std::as_bytes(std::span(data)).subspan(exif.size()));
      } else if (data.starts_with(xmp)) {
        from_xmp = xmp_orientation(data.substr(xmp.size()));
      }
    }
    return from_exif ? from_exif : from_xmp;
  }

 private:
  struct ErrorManager {
    jpeg_error_mgr base;  // first: libjpeg hands back its address
    std::jmp_buf jump;
    char message[JMSG_LENGTH_MAX];
  };

  [[noreturn]] static void give_up(j_common_ptr info, const char* message) {
    auto* errors = reinterpret_cast<ErrorManager*>(info->err);
    std::snprintf(errors->message, sizeof(errors->message), "%s", message);
    std::longjmp(errors->jump, 1);
  }

  std::string_view name_;
  jpeg_decompress_struct info_{};
  jpeg_progress_mgr progress_{};
  ErrorManager errors_{};
};

/// a·b/255 rounded, exact for bytes.
inline int multiply_bytes(int a, int b) {
  const int product = a * b + 128;
  return (product + (product >> 8)) >> 8;
}

/// One decoded row of grey, RGB or inverted CMYK samples to RGB.
inline void jpeg_row_to_rgb(const std::uint8_t* samples, int channels, int width, std::uint8_t* rgb) {
  if (channels == 3) {
    std::memcpy(rgb, samples, static_cast<std::size_t>(width) * 3);
  } else if (channels == 1) {
    for (int x = 0; x < width; ++x, rgb += 3) rgb[0] = rgb[1] = rgb[2] = samples[x];
  } else {
    // Pillow takes every four-channel JPEG for Adobe's, which store 255 − ink: here `black` is 255 − K.
    for (int x = 0; x < width; ++x, samples += 4, rgb += 3) {
      const int black = samples[3];
      for (int c = 0; c < 3; ++c) {
        rgb[c] = static_cast<std::uint8_t>(black - multiply_bytes(255 - samples[c], black));
      }
    }
  }
}

}  // namespace detail

/// Decodes a JPEG file held in memory: baseline or progressive; grey, YCbCr, RGB, CMYK or YCCK. The settings are
/// Pillow's (accurate integer DCT, smooth chroma upsampling); like Pillow it lets corrupt entropy data pass, but not
/// missing data. `name` names the file in errors.
inline Image decode_jpeg(std::span<const std::byte> bytes, std::string_view name, const DecodeOptions& options = {}) {
  detail::JpegDecompressor jpeg(name);
  jpeg.open(bytes);
  jpeg_decompress_struct& info = jpeg.info();
  const int channels = info.num_components;
  if (channels != 1 && channels != 3 && channels != 4) {
    fail(name, ": the JPEG file has ", channels, " channels, expected 1, 3 or 4");
  }
  check_decoded_size(info.image_width, info.image_height, name, options);
  info.out_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
  info.dct_method = JDCT_ISLOW;
  info.do_fancy_upsampling = TRUE;

  Image image = filled_image(static_cast<int>(info.image_width), static_cast<int>(info.image_height));
  std::vector<std::uint8_t> samples(static_cast<std::size_t>(image.width) * channels);
  jpeg.run([&] {
    jpeg_start_decompress(&info);
    for (int y = 0; y < image.height; ++y) {
      JSAMPROW row = samples.data();
      jpeg_read_scanlines(&info, &row, 1);
      detail::jpeg_row_to_rgb(row, channels, image.width, image.row(y));
    }
  });
  if (!options.apply_exif_orientation) return image;
  return apply_orientation(std::move(image), jpeg.orientation().value_or(1));
}

}  // namespace tessera::io

// Any bytes either are a JPEG file of a small image, which then is complete, or throw an Error.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "tessera/io/jpeg.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  tessera::io::DecodeOptions options;
  options.max_pixels = 1 << 16;
  try {
    const tessera::io::Image image = tessera::io::decode_jpeg(std::as_bytes(std::span(bytes, size)), "input", options);
    if (image.width < 1 || image.height < 1 || image.width > options.max_pixels / image.height) std::abort();
    if (image.rgb.size() != std::size_t{3} * image.width * image.height) std::abort();
  } catch (const tessera::Error&) {
  }
  return 0;
}

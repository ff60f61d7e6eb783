// Any bytes either are a valid .npy file, whose array then ends where they end, or throw an Error.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "tessera/io/npy.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::span<const std::byte> file = std::as_bytes(std::span(bytes, size));
  try {
    const tessera::io::NpyArray array = tessera::io::parse_npy(file, "input");
    std::size_t expected = tessera::size_of(array.dtype);
    for (const std::int64_t dim : array.shape) expected *= static_cast<std::size_t>(dim);
    if (array.data.size() != expected || array.data.data() + array.data.size() != file.data() + size) std::abort();
  } catch (const tessera::Error&) {
  }
  return 0;
}

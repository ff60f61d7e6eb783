// Any bytes either are a valid safetensors file, whose tensors then lie inside them, or throw an Error.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>

#include "tessera/io/safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::span<const std::byte> file = std::as_bytes(std::span(bytes, size));
  try {
    const tessera::io::SafetensorsContent content = tessera::io::parse_safetensors(file, "input");
    std::size_t supported_bytes = 0;
    for (const tessera::io::TensorView& tensor : content.tensors) {
      std::size_t expected = tessera::size_of(tensor.dtype);
      for (const std::int64_t dim : tensor.shape) expected *= static_cast<std::size_t>(dim);
      if (tensor.data.size() != expected) std::abort();
      if (tensor.data.data() < file.data() || tensor.data.data() + tensor.data.size() > file.data() + size)
        std::abort();
      supported_bytes += tensor.data.size();
    }
    std::uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, bytes, sizeof header_bytes);
    const std::size_t data_bytes = size - sizeof header_bytes - header_bytes;
    if (supported_bytes > data_bytes || (content.unsupported.empty() && supported_bytes != data_bytes)) std::abort();
  } catch (const tessera::Error&) {
  }
  return 0;
}

// Any bytes either are a valid safetensors file, whose tensors then lie inside them, or throw an Error.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
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
    if (supported_bytes > content.data_bytes) std::abort();
    if (content.unsupported.empty() && supported_bytes != content.data_bytes) std::abort();
  } catch (const tessera::Error&) {
  }
  return 0;
}

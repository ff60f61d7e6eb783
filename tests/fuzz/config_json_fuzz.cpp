// Any text either is JSON, which survives being written and read again, or throws an Error; so do its typed fields.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/io/json.hpp"

namespace {

template <class T>
void read_field(const tessera::io::json& config, std::string_view key) {
  try {
    tessera::io::require<T>(config, key, "input");
    tessera::io::value_or<T>(config, key, T{}, "input");
  } catch (const tessera::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  try {
    const tessera::io::json config = tessera::io::parse_json(text, "input");
    if (tessera::io::parse_json(config.dump(), "input") != config) std::abort();
    if (!config.is_object()) return 0;
    for (const auto& [key, value] : config.items()) {
      read_field<bool>(config, key);
      read_field<std::int8_t>(config, key);
      read_field<std::uint64_t>(config, key);
      read_field<int>(config, key);
      read_field<float>(config, key);
      read_field<double>(config, key);
      read_field<std::string>(config, key);
      read_field<std::vector<int>>(config, key);
    }
  } catch (const tessera::Error&) {
  }
  return 0;
}

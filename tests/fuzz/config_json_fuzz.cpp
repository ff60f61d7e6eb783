// Any text either is JSON, which survives being written and read again, or throws an Error; so does everything that
// reads a model folder's JSON files, and so do the models that their numbers describe.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tessera/hub/generation_config.hpp"
#include "tessera/hub/llava.hpp"
#include "tessera/io/checkpoint.hpp"
#include "tessera/io/config.hpp"
#include "tessera/io/image_processor.hpp"
#include "tessera/io/json.hpp"

namespace {

using namespace tessera;

/// Runs a reader that may refuse its input.
template <class Read>
void attempt(Read&& read) {
  try {
    read();
  } catch (const Error&) {
  }
}

template <class T>
void read_field(const io::json& config, std::string_view key) {
  attempt([&] {
    io::require<T>(config, key, "input");
    io::value_or<T>(config, key, T{}, "input");
  });
}

void read_fields(const io::json& config) {
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
}

/// Blocks are alike: to save time a few of them stand for a thousand.
void shorten(int& depth) { depth = depth > 4 && depth <= 1024 ? 4 : depth; }

/// A config, then a model of it without weights.
template <class Model, class Config>
void build(const io::json& root) {
  Config config;
  io::read_config(root, "input", config);
  shorten(config.depth);
  const Model model(config);
  if (count_params(model) == 0) std::abort();
}

/// Large ones are allowed, but take long.
bool makes_small_images(const io::ImageProcessor& processor) {
  constexpr int most = 64;
  const auto is_small = [](const io::ImageProcessor::Size& size) { return size.width <= most && size.height <= most; };
  const auto* exact = std::get_if<io::ImageProcessor::Size>(&processor.size);
  const bool resized_is_small = exact != nullptr ? is_small(*exact) : std::get<0>(processor.size).pixels <= most;
  return resized_is_small && is_small(processor.crop_size);
}

void read_as_every_file(const io::json& root) {
  attempt([&] { build<Llama<>, LlamaConfig>(root); });
  attempt([&] { build<ViT<>, ClipVisionConfig>(root); });
  attempt([&] {
    hub::LlavaConfig<> config;
    hub::detail::read_hub_layout(root, "input", config);
    shorten(config.vision.depth);
    shorten(config.text.depth);
    hub::build_llava<Llava15<>>(config, config.stored);
  });
  attempt([&] {
    hub::LlavaConfig<> config;
    hub::detail::read_original_layout(root, "", "/nonexistent", "input", config);
  });
  attempt([&] {
    const io::ImageProcessor processor = io::parse_image_processor(root, "input");
    if (makes_small_images(processor)) processor.preprocess(io::filled_image(3, 2));
  });
  attempt([&] {
    const hub::GenerationConfig config = hub::parse_generation_config(root, "input");
    const std::vector<float> logits{0, 1, -2};
    const int id = Sampler(config.sampler, 3).next(std::span<const float>(logits));
    if (id < 0 || id > 2) std::abort();
  });
  attempt([&] {
    for (const auto& [shard, tensors] : io::detail::tensors_of_shards(root, "input")) {
      if (shard.find('/') != shard.npos || tensors.empty()) std::abort();
    }
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  attempt([&] {
    const io::json root = io::parse_json(text, "input");
    if (io::parse_json(root.dump(), "input") != root) std::abort();
    if (root.is_object()) read_fields(root);
    read_as_every_file(root);
  });
  return 0;
}

#pragma once
/// The files of a training run: its state, from which it resumes, and the model folder that comes out.

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/hub/llava_config.hpp"
#include "tessera/io/atomic_file.hpp"
#include "tessera/io/image_processor.hpp"
#include "tessera/io/load.hpp"
#include "tessera/train/adamw.hpp"

namespace tessera::hub {

namespace detail {

inline io::TensorView view_of(std::string name, const std::vector<std::int64_t>& shape, std::span<const float> values) {
  return {std::move(name), DType::f32, shape, std::as_bytes(values)};
}

}  // namespace detail

/// Values, moments and the number of steps, as one file that is replaced whole. `run` describes the run: another run
/// must not go on from here. The order of samples and the schedule follow from the number of steps.
inline void write_training_state(const std::filesystem::path& file, const train::AdamW& optimizer,
                                 const std::string& run) {
  std::vector<io::TensorView> tensors;
  for (const train::Parameter& p : optimizer.parameters()) {
    tensors.push_back(detail::view_of("value." + p.name, p.shape, p.values));
    tensors.push_back(detail::view_of("first_moment." + p.name, p.shape, p.first_moment));
    tensors.push_back(detail::view_of("second_moment." + p.name, p.shape, p.second_moment));
  }
  io::write_safetensors(file, tensors, {{"steps", std::to_string(optimizer.steps())}, {"run", run}});
}

/// Goes on from such a file. Throws Error, and changes nothing, if it is of another run or model.
inline void read_training_state(const std::filesystem::path& path, train::AdamW& optimizer, const std::string& run) {
  const io::SafetensorsFile file(path);
  const auto& metadata = file.metadata();
  const auto stored = metadata.find("run");
  if (stored == metadata.end() || !metadata.contains("steps"))
    fail(path.string(), ": is not the state of a training run");
  if (stored->second != run) {
    fail(path.string(), ": belongs to another run and cannot be resumed: it has ", stored->second, ", expected ", run);
  }
  std::int64_t steps = 0;
  const std::string& text = metadata.at("steps");
  if (std::from_chars(text.data(), text.data() + text.size(), steps).ec != std::errc() || steps < 0) {
    fail(path.string(), ": steps is '", text, "', expected a number");
  }
  std::vector<std::pair<std::span<float>, const io::TensorView*>> copies;
  const auto match = [&](const std::string& name, const train::Parameter& p, std::span<float> target) {
    const io::TensorView* tensor = file.find(name);
    if (tensor == nullptr || tensor->shape != p.shape || tensor->dtype != DType::f32) {
      fail(path.string(), ": tensor '", name, "' is missing or of another shape or type than the model's");
    }
    copies.emplace_back(target, tensor);
  };
  for (const train::Parameter& p : optimizer.parameters()) {
    match("value." + p.name, p, p.values);
    match("first_moment." + p.name, p, p.first_moment);
    match("second_moment." + p.name, p, p.second_moment);
  }
  for (const auto& [target, tensor] : copies) std::memcpy(target.data(), tensor->data.data(), target.size_bytes());
  optimizer.resume(steps);
}

/// What a parameter is called in a model's files.
inline std::string published_name(const io::NameMap& names, const std::string& param) {
  const auto name = names.file_name(param);
  if (!name) fail("parameter '", param, "' has no place in the model's files");
  return *name;
}

/// Tensors of the parameters that train, or of their gradients, under their published names.
inline void write_trained_tensors(const std::filesystem::path& file, const train::AdamW& optimizer,
                                  const io::NameMap& names, std::span<float> train::Parameter::*what) {
  std::vector<io::TensorView> tensors;
  for (const train::Parameter& p : optimizer.parameters())
    tensors.push_back(detail::view_of(published_name(names, p.name), p.shape, p.*what));
  io::write_safetensors(file, tensors);
}

namespace detail {

inline bool is_weights_file(const std::string& name) {
  constexpr std::string_view endings[] = {".safetensors", ".index.json", ".bin",  ".pt",  ".pth",
                                          ".h5",          ".msgpack",    ".gguf", ".onnx"};
  return std::ranges::any_of(endings, [&](std::string_view ending) { return name.ends_with(ending); });
}

/// Copies all files of a model folder but its weights, each whole or not at all.
inline void copy_companions(const std::filesystem::path& source, const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(source)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_regular_file() || is_weights_file(name)) continue;
    io::AtomicFile copy(folder / name);
    if (entry.file_size() > 0) copy.write(io::MappedFile(entry.path()).bytes());
    copy.commit();
  }
}

/// Makes a LLaVA folder say whether its images are padded to squares, if it says otherwise: in config.json of the
/// original layout, else where the image processor is described.
inline void describe_padding(const std::filesystem::path& folder, bool pad) {
  const auto replace = [](const std::filesystem::path& file, const io::json& content) {
    io::AtomicFile out(file);
    out.write(content.dump(2) + "\n");
    out.commit();
  };
  const std::filesystem::path config_file = folder / "config.json";
  io::json config = io::read_json_file(config_file);
  if (is_original_layout(config)) {
    if ((io::value_or<std::string>(config, "image_aspect_ratio", "square", config_file.string()) == "pad") == pad)
      return;
    config["image_aspect_ratio"] = pad ? "pad" : "square";
    return replace(config_file, config);
  }
  io::ImageProcessorConfig processor = io::find_image_processor_config(folder);
  if (io::parse_image_processor(processor.content(), processor.where()).pad_to_square == pad) return;
  processor.content()["image_processor_type"] = "LlavaImageProcessor";  // the one that knows do_pad
  processor.content()["do_pad"] = pad;
  replace(processor.file, processor.document);
}

}  // namespace detail

/// Writes a LLaVA folder like `source` with the trained parameters' values in the types that the source has: all files
/// but the weights are copied, with the padding of images that the model was trained with; the weights become one
/// model.safetensors, last.
inline void write_trained_model(const std::filesystem::path& folder, const std::filesystem::path& source,
                                const train::AdamW& optimizer, const io::NameMap& names, bool pad_to_square) {
  detail::copy_companions(source, folder);
  detail::describe_padding(folder, pad_to_square);
  const io::Checkpoint checkpoint = io::Checkpoint::open(source);
  std::map<std::string, const train::Parameter*> trained;
  for (const train::Parameter& p : optimizer.parameters()) trained[published_name(names, p.name)] = &p;
  std::vector<io::TensorView> tensors;
  std::vector<std::vector<std::byte>> converted;
  converted.reserve(trained.size());
  for (const std::string& name : checkpoint.names()) {
    tensors.push_back(*checkpoint.find(name));
    const auto found = trained.find(name);
    if (found == trained.end()) continue;
    const std::span<const float> values = found->second->values;
    std::vector<std::byte>& bytes = converted.emplace_back(values.size() * size_of(tensors.back().dtype));
    with_format(tensors.back().dtype, [&]<class To>(To) {
      convert_numbers<f32, To>(reinterpret_cast<const std::byte*>(values.data()), values.size(), bytes.data());
    });
    tensors.back().data = bytes;
  }
  io::write_safetensors(folder / "model.safetensors", tensors, {{"format", "pt"}});
}

}  // namespace tessera::hub

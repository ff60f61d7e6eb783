#pragma once
/// config.json of LLaVA folders: the layout of transformers (LlavaForConditionalGeneration, old and new spellings) and
/// the original one (haotian-liu/LLaVA: one flat LLaMA config with `mm_…` fields and the tower in a folder of its own).

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "tessera/hub/generation_config.hpp"
#include "tessera/io/config.hpp"
#include "tessera/language/llama.hpp"
#include "tessera/model/splice.hpp"
#include "tessera/vision/presets.hpp"

namespace tessera::hub {

/// The format in which each slot's weights are held.
struct SlotFormats {
  DType vision = DType::f32, connector = DType::f32, language = DType::f32;
};

template <class VisionConfig = ClipVisionConfig, class TextConfig = LlamaConfig>
struct LlavaConfig {
  VisionConfig vision;
  TextConfig text;
  FeatureSelection selection;
  int projector_depth = 2;  ///< linear layers; 1 is LLaVA, 2 is LLaVA-1.5
  bool projector_bias = true;
  int image_token = -200;  ///< the id that marks image rows; −200 in the original layout, where none is reserved
  SlotFormats stored;       ///< the types that the config announces for the weights

  bool original_layout = false;
  std::filesystem::path vision_tower;  ///< original layout: the folder of the tower
  bool tower_in_model = false;         ///< original layout: the tower was trained, so the model's files hold its weights
  bool pad_to_square = false;          ///< original layout: `image_aspect_ratio` is `pad`
  bool image_start_end = false;        ///< original layout: <im_start> and <im_end> around the image
};

namespace detail {

using io::json;

inline const json* find_object(const json& config, std::string_view key) {
  const auto found = config.find(key);
  return found != config.end() && found->is_object() ? &*found : nullptr;
}

/// `torch_dtype` or, since transformers 4.56, `dtype`, of the model or of its text part.
inline DType stored_dtype(const json& config) {
  std::string name;
  const json* text = find_object(config, "text_config");
  for (const json* object : {text, &config}) {
    if (object == nullptr) continue;
    for (const char* key : {"torch_dtype", "dtype"}) {
      if (const auto found = object->find(key); found != object->end() && found->is_string()) name = found->get<std::string>();
    }
  }
  if (name == "bfloat16") return DType::bf16;
  if (name == "float16") return DType::f16;
  return DType::f32;
}

inline std::vector<int> layer_list(const json& config, std::string_view key, const std::string& where) {
  const std::vector<int> layers = int_or_list(config, key, where);
  return layers.empty() ? std::vector<int>{-2} : layers;
}

/// `full` and `cls_patch` keep the class token, `default` and `patch` drop it.
inline bool keeps_class_token(const json& config, std::string_view key, const std::string& where) {
  const auto strategy = io::value_or<std::string>(config, key, "default", where);
  if (strategy == "full" || strategy == "cls_patch") return true;
  if (strategy == "default" || strategy == "patch") return false;
  fail(where, ": ", key, " is '", strategy, "', expected default, full, patch or cls_patch");
}

/// `linear` → 1, `mlp2x_gelu` → 2, `mlp3x_gelu` → 3 …
inline int projector_depth(const std::string& type, const std::string& where) {
  if (type == "linear") return 1;
  if (type.starts_with("mlp") && type.ends_with("x_gelu") && type.size() >= 10) {
    const std::string digits = type.substr(3, type.size() - 9);
    if (digits.size() <= 2 && digits.find_first_not_of("0123456789") == digits.npos && digits[0] != '0') {
      return std::stoi(digits);
    }
  }
  fail(where, ": mm_projector_type is '", type, "', expected linear or mlp<N>x_gelu");
}

/// Where the tower named by `mm_vision_tower` is: the folder given, else one of that name beside the model, else the
/// Hugging Face cache.
inline std::filesystem::path find_vision_tower(const std::filesystem::path& model, const std::string& name,
                                               const std::filesystem::path& given) {
  namespace fs = std::filesystem;
  if (!given.empty()) return given;
  const fs::path beside = fs::absolute(model).lexically_normal().parent_path() / fs::path(name).filename();
  const fs::path inside = model / fs::path(name).filename();
  for (const fs::path& folder : {beside, inside}) {
    if (fs::is_directory(folder)) return folder;
  }
  const char* home = std::getenv("HF_HOME");
  const char* user = std::getenv("HOME");
  const fs::path cache = home != nullptr ? fs::path(home) : fs::path(user != nullptr ? user : "") / ".cache/huggingface";
  std::string repository = "models--" + name;
  for (std::size_t slash; (slash = repository.find('/')) != repository.npos;) repository.replace(slash, 1, "--");
  const fs::path snapshots = cache / "hub" / repository / "snapshots";
  std::error_code ignored;
  for (const auto& snapshot : fs::directory_iterator(snapshots, ignored)) return snapshot.path();
  fail(model.string(), ": the vision tower '", name, "' is neither beside the model nor in ", snapshots.string(),
       ": give its folder");
}

template <class Config>
void read_hub_layout(const json& root, const std::string& where, Config& config) {
  if constexpr (requires { config.vision.width = 1; }) {
    // The reference falls back to CLIP-L/14-336 when there is no vision_config at all, to its class's defaults per field.
    if (find_object(root, "vision_config") == nullptr) {
      using L = presets::ClipL14_336;
      config.vision = {L::image_size, L::patch_size, L::width, L::heads, L::depth, L::inner, L::norm_eps, L::act};
    }
  }
  if (const json* vision = find_object(root, "vision_config")) io::read_config(*vision, where + ": vision_config", config.vision);
  if (const json* text = find_object(root, "text_config")) io::read_config(*text, where + ": text_config", config.text);
  if constexpr (requires { config.text.tied_head = true; }) {
    config.text.tied_head |= io::value_or(root, "tie_word_embeddings", false, where);
  }
  config.selection.layers = layer_list(root, "vision_feature_layer", where);
  config.selection.class_token = keeps_class_token(root, "vision_feature_select_strategy", where);
  const auto act = io::value_or<std::string>(root, "projector_hidden_act", "gelu", where);
  if (act != "gelu") fail(where, ": projector_hidden_act is '", act, "', the projector's type fixes gelu");
  config.projector_bias = io::value_or(root, "multimodal_projector_bias", true, where);
  config.image_token = io::value_or(root, "image_token_id", io::value_or(root, "image_token_index", 32000, where), where);
}

template <class Config>
void read_original_layout(const json& root, const std::filesystem::path& folder, const std::filesystem::path& tower,
                          const std::string& where, Config& config) {
  config.original_layout = true;
  io::read_config(root, where, config.text);
  config.projector_depth = projector_depth(io::value_or<std::string>(root, "mm_projector_type", "linear", where), where);
  config.selection.layers = layer_list(root, "mm_vision_select_layer", where);
  config.selection.class_token = keeps_class_token(root, "mm_vision_select_feature", where);
  config.pad_to_square = io::value_or<std::string>(root, "image_aspect_ratio", "square", where) == "pad";
  config.tower_in_model = io::value_or(root, "unfreeze_mm_vision_tower", false, where);
  config.image_start_end = io::value_or(root, "mm_use_im_start_end", false, where);
  config.vision_tower = find_vision_tower(folder, io::require<std::string>(root, "mm_vision_tower", where), tower);
  const std::filesystem::path tower_file = config.vision_tower / "config.json";
  const json tower_root = io::read_json_file(tower_file);
  const json* nested = find_object(tower_root, "vision_config");
  if (!config.tower_in_model) config.stored.vision = stored_dtype(tower_root);
  io::read_config(nested != nullptr ? *nested : tower_root, tower_file.string(), config.vision);
}

}  // namespace detail

/// Reads config.json of a LLaVA folder. `vision_tower` overrides where the
/// original layout looks for its tower.
template <class VisionConfig = ClipVisionConfig, class TextConfig = LlamaConfig>
LlavaConfig<VisionConfig, TextConfig> read_llava_config(const std::filesystem::path& folder,
                                                        const std::filesystem::path& vision_tower = {}) {
  const std::filesystem::path file = folder / "config.json";
  const io::json root = io::read_json_file(file);
  const std::string where = file.string();
  const auto type = io::value_or<std::string>(root, "model_type", "", where);
  if (type != "llava" && type != "llava_llama") fail(where, ": model_type is '", type, "', expected llava or llava_llama");
  LlavaConfig<VisionConfig, TextConfig> config;
  const DType stored = detail::stored_dtype(root);
  config.stored = {stored, stored, stored};
  if (root.contains("mm_vision_tower")) {
    detail::read_original_layout(root, folder, vision_tower, where, config);
  } else {
    detail::read_hub_layout(root, where, config);
  }
  return config;
}

}  // namespace tessera::hub

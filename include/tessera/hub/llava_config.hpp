#pragma once
/// config.json of LLaVA folders: the layout of transformers (LlavaForConditionalGeneration, old and new spellings) and
/// the original one (haotian-liu/LLaVA: one flat LLaMA config with `mm_…` fields and the tower in a folder of its own).

#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/io/config.hpp"
#include "tessera/io/mapped_file.hpp"
#include "tessera/language/llama.hpp"
#include "tessera/model/splice.hpp"
#include "tessera/vision/vit.hpp"

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
  SlotFormats stored;      ///< the types that the config announces for the weights
  std::string where = "config.json";  ///< the file, for errors

  bool original_layout = false;
  std::filesystem::path vision_tower;  ///< original layout: the folder of the tower
  bool tower_in_model = false;   ///< original layout: the tower was trained, so the model's files hold its weights
  bool pad_to_square = false;    ///< original layout: `image_aspect_ratio` is `pad`
  bool image_start_end = false;  ///< original layout: <im_start> and <im_end> around the image
};

/// Whether a config.json is of haotian-liu/LLaVA's layout, not of transformers'.
inline bool is_original_layout(const io::json& config) {
  return config.is_object() && config.contains("mm_vision_tower");
}

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
      if (const auto found = object->find(key); found != object->end() && found->is_string())
        name = found->get<std::string>();
    }
  }
  if (name == "bfloat16") return DType::bf16;
  if (name == "float16") return DType::f16;
  return DType::f32;
}

/// Throws an Error when the config names another family than those expected.
inline void check_model_type(const json& config, std::initializer_list<std::string_view> expected,
                             const std::string& where) {
  const auto type = io::value_or<std::string>(config, "model_type", std::string(*expected.begin()), where);
  std::string list;
  for (const std::string_view name : expected) {
    if (type == name) return;
    list.append(list.empty() ? "" : " or ").append(name);
  }
  fail(where, ": model_type is ", io::in_quotes(type), ", expected ", list);
}

/// Hidden states to select; −2 if the config says nothing.
inline std::vector<int> layer_list(const json& config, std::string_view key, const std::string& where) {
  constexpr std::size_t most = 64;
  const std::vector<int> layers = io::int_or_list(config, key, where);
  if (layers.size() > most) fail(where, ": ", key, " has ", layers.size(), " layers, expected at most ", most);
  return layers.empty() ? std::vector<int>{-2} : layers;
}

/// `full` and `cls_patch` keep the class token, `default` and `patch` drop it.
inline bool keeps_class_token(const json& config, std::string_view key, const std::string& where) {
  const auto strategy = io::value_or<std::string>(config, key, "default", where);
  if (strategy == "full" || strategy == "cls_patch") return true;
  if (strategy == "default" || strategy == "patch") return false;
  fail(where, ": ", key, " is ", io::in_quotes(strategy), ", expected default, full, patch or cls_patch");
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
  fail(where, ": mm_projector_type is ", io::in_quotes(type), ", expected linear or mlp<N>x_gelu");
}

/// The folder in the Hugging Face cache where a repository's files are.
inline std::filesystem::path hugging_face_cache(std::string repository) {
  const char* home = std::getenv("HF_HOME");
  const char* user = std::getenv("HOME");
  const std::filesystem::path cache = home != nullptr
                                          ? std::filesystem::path(home)
                                          : std::filesystem::path(user != nullptr ? user : "") / ".cache/huggingface";
  for (std::size_t slash; (slash = repository.find('/')) != repository.npos;) repository.replace(slash, 1, "--");
  return cache / "hub" / ("models--" + repository);
}

/// Where the tower named by `mm_vision_tower` is: the folder given, else one of that name beside or inside the model,
/// else the Hugging Face cache, in the revision that it calls main.
inline std::filesystem::path find_vision_tower(const std::filesystem::path& model, const std::string& name,
                                               const std::filesystem::path& given) {
  namespace fs = std::filesystem;
  if (!given.empty()) return given;
  const fs::path beside = fs::absolute(model).lexically_normal().parent_path() / fs::path(name).filename();
  const fs::path inside = model / fs::path(name).filename();
  const fs::path cached = hugging_face_cache(name), revision = cached / "refs" / "main";
  std::vector<fs::path> folders{beside, inside};
  if (fs::exists(revision)) {
    const io::MappedFile file(revision);
    const std::string_view text = file.text();
    folders.push_back(cached / "snapshots" / fs::path(text.substr(0, text.find('\n'))).filename());
  }
  for (const fs::path& folder : folders) {
    if (fs::is_directory(folder)) return folder;
  }
  fail(model.string(), ": the vision tower ", io::in_quotes(name), " is neither beside the model nor in ",
       cached.string(), ": give its folder");
}

template <class Config>
void read_hub_layout(const json& root, const std::string& where, Config& config) {
  // The reference falls back to CLIP-L/14-336 when there is no vision_config at all, to its class's defaults per field.
  static const json clip_l14_336 = {{"image_size", 336},       {"patch_size", 14},
                                    {"hidden_size", 1024},     {"num_attention_heads", 16},
                                    {"num_hidden_layers", 24}, {"intermediate_size", 4096}};
  const json* vision = find_object(root, "vision_config");
  if (vision == nullptr) vision = &clip_l14_336;
  check_model_type(*vision, {"clip_vision_model"}, where + ": vision_config");
  io::read_config(*vision, where + ": vision_config", config.vision);

  json text = json::object();
  if (const json* found = find_object(root, "text_config")) text = *found;
  if (io::value_or(root, "tie_word_embeddings", false, where)) text["tie_word_embeddings"] = true;
  check_model_type(text, {"llama"}, where + ": text_config");
  io::read_config(text, where + ": text_config", config.text);
  config.selection.layers = layer_list(root, "vision_feature_layer", where);
  config.selection.class_token = keeps_class_token(root, "vision_feature_select_strategy", where);
  const auto act = io::value_or<std::string>(root, "projector_hidden_act", "gelu", where);
  if (act != "gelu") fail(where, ": projector_hidden_act is ", io::in_quotes(act), ", the projector's type fixes gelu");
  config.projector_bias = io::value_or(root, "multimodal_projector_bias", true, where);
  config.image_token =
      io::value_or(root, "image_token_id", io::value_or(root, "image_token_index", 32000, where), where);
}

template <class Config>
void read_original_layout(const json& root, const std::filesystem::path& folder, const std::filesystem::path& tower,
                          const std::string& where, Config& config) {
  config.original_layout = true;
  io::read_config(root, where, config.text);
  config.projector_depth =
      projector_depth(io::value_or<std::string>(root, "mm_projector_type", "linear", where), where);
  config.selection.layers = layer_list(root, "mm_vision_select_layer", where);
  config.selection.class_token = keeps_class_token(root, "mm_vision_select_feature", where);
  config.pad_to_square = io::value_or<std::string>(root, "image_aspect_ratio", "square", where) == "pad";
  config.tower_in_model = io::value_or(root, "unfreeze_mm_vision_tower", false, where);
  config.image_start_end = io::value_or(root, "mm_use_im_start_end", false, where);
  config.vision_tower = find_vision_tower(folder, io::require<std::string>(root, "mm_vision_tower", where), tower);
  const std::filesystem::path tower_file = config.vision_tower / "config.json";
  const json tower_root = io::read_json_file(tower_file);
  if (!config.tower_in_model) config.stored.vision = stored_dtype(tower_root);
  // Either all of CLIP or its tower alone.
  const json* nested = find_object(tower_root, "vision_config");
  if (nested != nullptr) check_model_type(tower_root, {"clip"}, tower_file.string());
  const std::string place = tower_file.string() + (nested != nullptr ? ": vision_config" : "");
  const json& tower_config = nested != nullptr ? *nested : tower_root;
  check_model_type(tower_config, {"clip_vision_model"}, place);
  io::read_config(tower_config, place, config.vision);
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
  io::require<std::string>(root, "model_type", where);
  detail::check_model_type(root, {"llava", "llava_llama"}, where);
  LlavaConfig<VisionConfig, TextConfig> config;
  config.where = where;
  const DType stored = detail::stored_dtype(root);
  config.stored = {stored, stored, stored};
  if (is_original_layout(root)) {
    detail::read_original_layout(root, folder, vision_tower, where, config);
  } else {
    detail::read_hub_layout(root, where, config);
  }
  return config;
}

}  // namespace tessera::hub

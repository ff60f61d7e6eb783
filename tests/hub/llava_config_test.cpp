#include "tessera/hub/llava_config.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tessera/hub/llava.hpp"
#include "tessera/language/presets.hpp"
#include "tessera/vision/presets.hpp"

#include "catch.hpp"
#include "support/errors.hpp"
#include "support/temporary_folder.hpp"

using namespace tessera;
using test::contains;
namespace fs = std::filesystem;

namespace {

/// A model folder, others beside it, and a Hugging Face cache that is empty at first.
struct Folders : test::TemporaryFolder {
  fs::path model = path / "model", cache = path / "cache";

  Folders() {
    fs::create_directory(model);
    ::setenv("HF_HOME", cache.c_str(), 1);
  }
  ~Folders() { ::unsetenv("HF_HOME"); }

  /// The config of a model in the layout of transformers, changed by a merge patch.
  auto hub(const io::json& change = io::json::object()) const {
    io::json root = {{"model_type", "llava"},
                     {"vision_config",
                      {{"model_type", "clip_vision_model"},
                       {"image_size", 28},
                       {"patch_size", 14},
                       {"hidden_size", 8},
                       {"num_attention_heads", 2},
                       {"num_hidden_layers", 3}}},
                     {"text_config", {{"model_type", "llama"}, {"hidden_size", 16}, {"num_attention_heads", 4}}}};
    root.merge_patch(change);
    write(model, root);
    return hub::read_llava_config(model);
  }

  /// The same in the original layout.
  auto original(const io::json& change = io::json::object(), const fs::path& tower = {}) const {
    io::json root = {{"model_type", "llava"}, {"mm_vision_tower", "openai/tower"}, {"hidden_size", 16}};
    root.merge_patch(change);
    write(model, root);
    return hub::read_llava_config(model, tower);
  }

  /// A tower that is told apart from others by its width.
  void tower(const fs::path& folder, int width) const {
    write(folder, {{"model_type", "clip_vision_model"}, {"hidden_size", width}});
  }

  static void write(const fs::path& folder, const io::json& config) {
    fs::create_directories(folder);
    std::ofstream(folder / "config.json") << config.dump();
  }
};

}  // namespace

TEST_CASE("what a config of transformers leaves out has transformers' defaults") {
  const Folders folders;
  const auto config = folders.hub();
  CHECK(config.vision.width == 8);
  CHECK(config.text.width == 16);
  CHECK(config.text.vocab == 32000);
  CHECK(config.selection.layers == std::vector<int>{-2});
  CHECK_FALSE(config.selection.class_token);
  CHECK(config.projector_depth == 2);
  CHECK(config.projector_bias);
  CHECK(config.image_token == 32000);
  CHECK(config.stored.language == DType::f32);
  CHECK_FALSE(config.original_layout);
  // Without any vision_config the tower is CLIP-L/14-336.
  CHECK(folders.hub({{"vision_config", nullptr}}).vision.image_size == 336);
  CHECK(folders.hub({{"vision_config", nullptr}}).vision.width == 1024);
}

TEST_CASE("a type that fixes its dimensions accepts the folders that have them, whatever they leave out") {
  const Folders folders;
  const io::json text = {
      {"hidden_size", 4096}, {"rms_norm_eps", 1e-5}, {"max_position_embeddings", 4096}, {"num_attention_heads", 32}};
  folders.hub({{"vision_config", nullptr}, {"text_config", text}});
  using presets::ClipL14_336, presets::Vicuna7B, presets::Vicuna13B, presets::ClipL14;
  CHECK_NOTHROW(hub::read_llava_config<ClipL14_336, Vicuna7B>(folders.model));
  CHECK_THROWS_WITH((hub::read_llava_config<ClipL14, Vicuna7B>(folders.model)),
                    contains("vision_config: image_size: the file has 336, the type fixes 224"));
  CHECK_THROWS_WITH((hub::read_llava_config<ClipL14_336, Vicuna13B>(folders.model)),
                    contains("text_config: hidden_size: the file has 4096, the type fixes 5120"));
  folders.hub({{"vision_config", nullptr}, {"text_config", text}, {"tie_word_embeddings", true}});
  CHECK_THROWS_WITH((hub::read_llava_config<ClipL14_336, Vicuna7B>(folders.model)),
                    contains("tie_word_embeddings: the file has true, the type fixes false"));
  folders.hub({{"vision_config", nullptr}, {"text_config", nullptr}});
  CHECK_THROWS_WITH((hub::read_llava_config<ClipL14_336, Vicuna7B>(folders.model)),
                    contains("text_config: rms_norm_eps: the file has none, which means 1e-06, the type fixes 1e-05"));
}

TEST_CASE("fields of transformers' layout, in old and new spellings") {
  const Folders folders;
  CHECK(folders.hub({{"vision_feature_layer", -1}}).selection.layers == std::vector<int>{-1});
  CHECK(folders.hub({{"vision_feature_layer", {-3, 1}}}).selection.layers == std::vector<int>{-3, 1});
  CHECK(folders.hub({{"multimodal_projector_bias", false}}).projector_bias == false);
  CHECK(folders.hub({{"image_token_index", 7}}).image_token == 7);
  CHECK(folders.hub({{"image_token_index", 7}, {"image_token_id", 8}}).image_token == 8);
  CHECK(folders.hub({{"tie_word_embeddings", true}}).text.tied_head);
  CHECK(folders.hub({{"text_config", {{"tie_word_embeddings", true}}}}).text.tied_head);
  CHECK(folders.hub({{"torch_dtype", "float16"}}).stored.vision == DType::f16);
  CHECK(folders.hub({{"dtype", "bfloat16"}}).stored.language == DType::bf16);
  CHECK(folders.hub({{"text_config", {{"torch_dtype", "bfloat16"}}}}).stored.language == DType::bf16);
  CHECK_THROWS_WITH(folders.hub({{"projector_hidden_act", "relu"}}), contains("projector_hidden_act is 'relu'"));
  CHECK_THROWS_WITH(folders.hub({{"vision_feature_layer", std::vector<int>(65, 1)}}),
                    contains("vision_feature_layer has 65 layers, expected at most 64"));
}

TEST_CASE("strategies say whether the class token stays") {
  const Folders folders;
  const auto keeps = [&](const char* strategy) {
    return folders.hub({{"vision_feature_select_strategy", strategy}}).selection.class_token;
  };
  CHECK_FALSE(keeps("default"));
  CHECK_FALSE(keeps("patch"));
  CHECK(keeps("full"));
  CHECK(keeps("cls_patch"));
  CHECK_THROWS_WITH(keeps("all"),
                    contains("vision_feature_select_strategy is 'all', expected default, full, patch or cls_patch"));
}

TEST_CASE("parts of other families are refused instead of being computed as LLaMA or CLIP") {
  const Folders folders;
  const std::string file = (folders.model / "config.json").string();
  CHECK_THROWS_WITH(folders.hub({{"text_config", {{"model_type", "mistral"}}}}),
                    file + ": text_config: model_type is 'mistral', expected llama");
  CHECK_THROWS_WITH(folders.hub({{"vision_config", {{"model_type", "siglip_vision_model"}}}}),
                    file + ": vision_config: model_type is 'siglip_vision_model', expected clip_vision_model");
  CHECK_THROWS_WITH(folders.hub({{"model_type", "llava_next"}}),
                    file + ": model_type is 'llava_next', expected llava or llava_llama");
  CHECK_THROWS_WITH(folders.hub({{"model_type", nullptr}}), file + ": the field 'model_type' is missing");
  CHECK_THROWS_WITH(folders.hub({{"text_config", {{"model_type", 3}}}}), contains("expected a string"));
  CHECK_NOTHROW(
      folders.hub({{"text_config", {{"model_type", nullptr}}}, {"vision_config", {{"model_type", nullptr}}}}));

  folders.tower(folders.path / "tower", 64);
  CHECK_NOTHROW(folders.original({{"model_type", "llava_llama"}}));
  CHECK_THROWS_WITH(folders.original({{"model_type", "llava_mistral"}}), contains("'llava_mistral'"));
  Folders::write(folders.path / "tower", {{"model_type", "siglip_vision_model"}});
  CHECK_THROWS_WITH(folders.original(), contains("tower/config.json: model_type is 'siglip_vision_model'"));
  Folders::write(folders.path / "tower", {{"model_type", "siglip"}, {"vision_config", {{"hidden_size", 64}}}});
  CHECK_THROWS_WITH(folders.original(), contains("tower/config.json: model_type is 'siglip', expected clip"));
  Folders::write(
      folders.path / "tower",
      {{"model_type", "clip"}, {"vision_config", {{"model_type", "clip_vision_model"}, {"hidden_size", 32}}}});
  CHECK(folders.original().vision.width == 32);
}

TEST_CASE("projector types of the original layout") {
  const Folders folders;
  folders.tower(folders.path / "tower", 64);
  const auto depth = [&](const char* type) { return folders.original({{"mm_projector_type", type}}).projector_depth; };
  CHECK(depth("linear") == 1);
  CHECK(depth("mlp1x_gelu") == 1);
  CHECK(depth("mlp2x_gelu") == 2);
  CHECK(depth("mlp12x_gelu") == 12);
  CHECK(folders.original().projector_depth == 1);
  for (const char* type : {"mlpx_gelu", "mlp0x_gelu", "mlp02x_gelu", "mlp100x_gelu", "mlp-1x_gelu", "mlp2x_relu",
                           "mlp2x", "identity", ""}) {
    CAPTURE(type);
    CHECK_THROWS_WITH(depth(type), contains("expected linear or mlp<N>x_gelu"));
  }
}

TEST_CASE("fields of the original layout") {
  const Folders folders;
  folders.tower(folders.path / "tower", 64);
  const auto config = folders.original();
  CHECK(config.original_layout);
  CHECK(config.image_token == -200);
  CHECK(config.text.width == 16);
  CHECK_FALSE(config.pad_to_square);
  CHECK_FALSE(config.tower_in_model);
  CHECK_FALSE(config.image_start_end);
  CHECK(folders.original({{"image_aspect_ratio", "pad"}}).pad_to_square);
  CHECK(folders.original({{"unfreeze_mm_vision_tower", true}}).tower_in_model);
  CHECK(folders.original({{"mm_use_im_start_end", true}}).image_start_end);
  CHECK(folders.original({{"mm_vision_select_layer", -1}}).selection.layers == std::vector<int>{-1});
  CHECK(folders.original({{"mm_vision_select_feature", "cls_patch"}}).selection.class_token);
  CHECK_THROWS_WITH(folders.original({{"mm_vision_tower", 5}}), contains("mm_vision_tower"));
}

TEST_CASE("a tower is the folder given, else beside the model, inside it, or in the Hugging Face cache") {
  const Folders folders;
  const fs::path repository = folders.cache / "hub/models--openai--tower";
  CHECK_THROWS_WITH(folders.original(), contains("the vision tower 'openai/tower' is neither beside the model nor in " +
                                                 repository.string()));

  // The cache keeps every revision that was ever asked for; refs/main says which one a plain name means.
  folders.tower(repository / "snapshots/1111", 11);
  folders.tower(repository / "snapshots/2222", 22);
  folders.tower(repository / "snapshots/3333", 33);
  CHECK_THROWS_AS(folders.original(), Error);
  fs::create_directory(repository / "refs");
  for (const auto& [revision, width] : {std::pair("2222", 22), std::pair("3333\n", 33), std::pair("1111", 11)}) {
    std::ofstream(repository / "refs/main") << revision;
    CHECK(folders.original().vision.width == width);
  }
  std::ofstream(repository / "refs/main") << "4444";
  CHECK_THROWS_WITH(folders.original(), contains("give its folder"));
  std::ofstream(repository / "refs/main") << "../../../../model/tower";  // no way out of the cache
  CHECK_THROWS_AS(folders.original(), Error);
  std::ofstream(repository / "refs/main") << "2222";

  folders.tower(folders.model / "tower", 44);
  CHECK(folders.original().vision.width == 44);
  folders.tower(folders.path / "tower", 55);
  CHECK(folders.original().vision.width == 55);
  CHECK(folders.original().vision_tower == folders.path / "tower");
  folders.tower(folders.path / "elsewhere", 66);
  CHECK(folders.original(io::json::object(), folders.path / "elsewhere").vision.width == 66);
  CHECK_THROWS_WITH(folders.original(io::json::object(), folders.path / "nowhere"),
                    contains("nowhere/config.json: cannot be opened"));
}

TEST_CASE("dimensions out of range are one sentence with the file, the field, its value and the range") {
  const Folders folders;
  const auto built = [&](const io::json& change = io::json::object()) {
    const auto config = folders.hub(change);
    return test::error_message([&] { hub::build_llava<Llava15<>>(config, {}); });
  };
  const auto vision = [&](const char* key, const io::json& value) {
    return built({{"vision_config", {{key, value}}}});
  };
  const auto text = [&](const char* key, const io::json& value) { return built({{"text_config", {{key, value}}}}); };
  const std::string file = (folders.model / "config.json").string();
  CHECK(built() == "");
  CHECK(vision("hidden_size", 2147483647) == file + ": vision config: hidden_size is 2147483647, expected 1 to 65536");
  CHECK(text("num_attention_heads", 2147483646) ==
        file + ": language config: num_attention_heads is 2147483646, expected 1 to 1024");
  CHECK_THAT(vision("image_size", 0), contains("vision config: image_size is 0, expected 1 to 8192"));
  CHECK_THAT(vision("patch_size", 29), contains("vision config: patch_size is 29, expected 1 to 28"));
  CHECK_THAT(built({{"vision_config", {{"image_size", 8192}, {"patch_size", 1}}}}),
             contains("image_size / patch_size is 8192, expected 1 to 1024"));
  CHECK_THAT(vision("num_attention_heads", 0), contains("num_attention_heads is 0"));
  CHECK_THAT(vision("num_attention_heads", 3), contains("hidden_size 8 is not a multiple of num_attention_heads 3"));
  CHECK_THAT(vision("num_hidden_layers", 1025), contains("num_hidden_layers is 1025, expected 1 to 1024"));
  CHECK_THAT(vision("intermediate_size", -1), contains("intermediate_size is -1"));
  CHECK_THAT(vision("layer_norm_eps", 2), contains("layer_norm_eps is 2, expected 0 to 1"));
  CHECK_THAT(text("vocab_size", 1 << 25), contains("vocab_size is 33554432, expected 1 to 16777216"));
  CHECK_THAT(text("hidden_size", 0), contains("hidden_size is 0"));
  CHECK_THAT(text("intermediate_size", 2147483647), contains("intermediate_size is 2147483647"));
  CHECK_THAT(text("num_hidden_layers", 2000000000), contains("num_hidden_layers is 2000000000"));
  CHECK_THAT(text("num_key_value_heads", 5), contains("num_key_value_heads is 5, expected 0 to 4"));
  CHECK_THAT(text("num_key_value_heads", 3), contains("4 heads cannot share 3 key/value heads evenly"));
  CHECK_THAT(text("head_dim", 1 << 30), contains("head_dim is 1073741824, expected 0 to 4096"));
  CHECK_THAT(text("head_dim", 3), contains("head dimension is 3, expected an even number"));
  CHECK_THAT(text("rms_norm_eps", -1), contains("rms_norm_eps is -1"));
  CHECK_THAT(text("max_position_embeddings", 0), contains("max_position_embeddings is 0"));
}

TEST_CASE("rope scaling out of range is refused before anything is divided by it") {
  const Folders folders;
  const auto built = [&](const io::json& change = io::json::object()) {
    const auto config = folders.hub({{"text_config", change}});
    return test::error_message([&] { hub::build_llava<Llava15<>>(config, {}); });
  };
  const auto llama3 = [&](const io::json& change = io::json::object()) {
    io::json scaling = {{"rope_type", "llama3"},
                        {"factor", 8},
                        {"low_freq_factor", 1},
                        {"high_freq_factor", 4},
                        {"original_max_position_embeddings", 8192}};
    scaling.merge_patch(change);
    return built({{"rope_scaling", scaling}});
  };
  CHECK(llama3() == "");
  CHECK_THAT(llama3({{"factor", 0}}), contains("rotary embedding: factor is 0, expected 1 to 1e+06"));
  CHECK_THAT(llama3({{"low_freq_factor", 0}}), contains("low_freq_factor is 0"));
  CHECK_THAT(llama3({{"high_freq_factor", 1}}),
             contains("high_freq_factor is 1, expected more than low_freq_factor 1"));
  CHECK_THAT(llama3({{"original_max_position_embeddings", 0}}), contains("original_max_position_embeddings is 0"));
  CHECK_THAT(built({{"rope_scaling", {{"type", "linear"}, {"factor", 0}}}}), contains("factor is 0"));
  CHECK(built({{"rope_scaling", {{"type", "default"}, {"factor", 0}}}}) == "");  // not read
  CHECK_THAT(built({{"rope_theta", 0}}), contains("rope_theta is 0, expected 1 to 1e+12"));
  CHECK_THROWS_WITH(folders.hub({{"text_config", {{"rope_theta", 1e300}}}}),
                    contains("rope_theta: 1e+300 is out of range"));
}

TEST_CASE("the config picks the model's type by the depth of its projector") {
  hub::LlavaConfig<> config;
  const auto type_of = [&](int depth) {
    config.projector_depth = depth;
    return hub::with_llava_type(config, []<class Model>() {
      return std::is_same_v<Model, Llava<>> ? 1 : std::is_same_v<Model, Llava15<>> ? 2 : 0;
    });
  };
  CHECK(type_of(1) == 1);
  CHECK(type_of(2) == 2);
  CHECK(type_of(3) == 0);
  config.projector_depth = 5;
  config.vision = {.image_size = 28, .patch_size = 14, .width = 8, .heads = 2, .depth = 2, .inner = 8};
  config.text = {.vocab = 9, .width = 16, .inner = 8, .depth = 1, .heads = 4};
  CHECK(hub::build_llava<hub::LlavaAnyDepth>(config, {}).connector.further.size() == 4);
}

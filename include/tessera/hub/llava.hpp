#pragma once
/// LLaVA and LLaVA-1.5 from a publisher's folder: builds the model from config.json and loads its weights.

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/hub/llava_config.hpp"
#include "tessera/io/load.hpp"
#include "tessera/model/initialize.hpp"
#include "tessera/model/llava.hpp"

namespace tessera::hub {

/// A LLaVA whose projector has any number of layers, which the config says: three in the papers' ablations.
using LlavaAnyDepth = Vlm<ViT<>, MLPProjector<dyn>, Llama<>, splice::AtImageToken>;

/// Calls `f.template operator()<Model>()` with the model type that a run-time config describes: Llava<>, Llava15<> or
/// LlavaAnyDepth. All results are of one type.
template <class F>
auto with_llava_type(const LlavaConfig<>& config, F&& f) {
  if (config.projector_depth == 1) return f.template operator()<Llava<>>();
  if (config.projector_depth == 2) return f.template operator()<Llava15<>>();
  return f.template operator()<LlavaAnyDepth>();
}

/// A model of the given type (`Llava<…>`, `Llava15<…>` or one with a connector of your own that takes (in, out, bias,
/// dtype)), without weights. `formats` is for types whose format is chosen at run time. Throws an Error that names the
/// config's file for dimensions that are out of range or do not fit each other.
template <class Model, class VisionConfig, class TextConfig>
Model build_llava(const LlavaConfig<VisionConfig, TextConfig>& config, const SlotFormats& formats) try {
  using Vision = decltype(Model::vision);
  using ConnectorT = decltype(Model::connector);
  using Language = decltype(Model::language);
  Vision vision(config.vision, config.selection, formats.vision);
  Language language(config.text, formats.language);
  const int in = vision.out(), out = language.width();
  const auto connector = [&]() -> ConnectorT {
    if constexpr (requires { ConnectorT(in, out, true, DType::f32, 2); }) {
      return ConnectorT(in, out, config.projector_bias, formats.connector, config.projector_depth);
    } else {
      return ConnectorT(in, out, config.projector_bias, formats.connector);
    }
  };
  return Model(std::move(vision), connector(), std::move(language), splice::AtImageToken{config.image_token});
} catch (const Error& error) {
  fail(config.where, ": ", error.what());
}

namespace detail {

/// The part of a name before `suffix`, from the first tensor that ends with it; an Error if none does.
inline std::string prefix_of(const io::Checkpoint& checkpoint, std::string_view suffix, const std::string& where) {
  for (const std::string& name : checkpoint.names()) {
    if (name.ends_with(suffix)) return name.substr(0, name.size() - suffix.size());
  }
  fail(where, ": no tensor '…", suffix, "' found, so this is not a LLaVA checkpoint of a known layout");
}

/// Tensors of a tower that are buffers or that follow its last selected hidden state.
inline std::vector<std::string> ignored_tensors(const std::string& tower, int blocks_used, int depth) {
  std::vector<std::string> ignored{tower + "post_layernorm.", tower + "embeddings.position_ids"};
  for (int i = blocks_used; i < depth; ++i) ignored.push_back(tower + "encoder.layers." + std::to_string(i) + ".");
  return ignored;
}

/// Adds the tower of a checkpoint that begins with `embeddings.class_embedding` under some prefix.
inline void add_tower(io::NameMap& names, const io::Checkpoint& checkpoint, int blocks_used, int depth,
                      const std::string& where) {
  const std::string tower = prefix_of(checkpoint, "embeddings.class_embedding", where);
  names.prefixes.emplace_back("vision_tower.", tower);
  const std::vector<std::string> ignored = ignored_tensors(tower, blocks_used, depth);
  names.ignored.insert(names.ignored.end(), ignored.begin(), ignored.end());
}

/// The publishers have used four spellings of the same tree; each part's prefix is found by a tensor that it must have.
template <class Config>
io::NameMap llava_names(const io::Checkpoint& checkpoint, const Config& config, int blocks_used,
                        const std::string& where) {
  const std::string language = prefix_of(checkpoint, "embed_tokens.weight", where);
  io::NameMap names;
  names.ignored.emplace_back("rotary_emb.inv_freq");
  names.prefixes.emplace_back("language_model.model.", language);
  if (config.text.tied_head) {
    names.prefixes.emplace_back("language_model.lm_head.", language + "embed_tokens.");
    names.ignored.emplace_back("lm_head.weight");
  } else {
    names.prefixes.emplace_back("language_model.", prefix_of(checkpoint, "lm_head.weight", where));
  }
  if (config.original_layout) {
    for (int i = 0; i < config.projector_depth; ++i) {
      names.prefixes.emplace_back("multi_modal_projector.linear_" + std::to_string(i + 1) + ".",
                                  "model.mm_projector." + std::to_string(2 * i) + ".");
    }
    names.prefixes.emplace_back("multi_modal_projector.", "model.mm_projector.");
  } else {
    const std::string first = "multi_modal_projector.linear_1.weight";
    names.prefixes.emplace_back("multi_modal_projector.",
                                prefix_of(checkpoint, first, where) + "multi_modal_projector.");
  }
  if (!config.original_layout || config.tower_in_model) {
    add_tower(names, checkpoint, blocks_used, config.vision.depth, where);
  } else {
    names.ignored.emplace_back("model.vision_tower.");  // a copy that the reference does not read
  }
  return names;
}

/// A CLIP folder: either the tower alone or the whole of CLIP with its text half.
inline io::NameMap tower_names(const io::Checkpoint& checkpoint, int blocks_used, int depth, const std::string& where) {
  io::NameMap names{{}, {"text_model.", "text_projection.", "visual_projection.", "logit_scale"}};
  add_tower(names, checkpoint, blocks_used, depth, where);
  return names;
}

/// The slots that a checkpoint fills where the connector starts anew.
template <class Model>
struct TowerAndLanguage {
  Model& model;

  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v(slot::Vision::name, l.model.vision...);
    v(slot::Language::name, l.model.language...);
  }
};

/// Fresh weights with the deviation of torch.nn.Linear's, which LLaVA's projector starts with; biases are 0.
template <class ConnectorT, class OpsT>
void initialize_connector(ConnectorT& connector, OpsT& ops, WeightStore& store, std::uint64_t seed) {
  initialize(connector, ops, store, seed,
             [](int columns) { return 1 / std::sqrt(3.0f * static_cast<float>(columns)); });
}

}  // namespace detail

/// Builds the model and loads all its weights, or, given a seed, all but those of a new connector.
/// `store` and `ops` must outlive it.
template <class Model, class Config, class OpsT>
Model load_llava(const std::filesystem::path& folder, const Config& config, const SlotFormats& formats, OpsT& ops,
                 WeightStore& store, const io::LoadProgress& progress = {},
                 const std::uint64_t* new_connector_seed = nullptr) {
  Model model = build_llava<Model>(config, formats);
  const int blocks = static_cast<int>(model.vision.encoder.layers.size());
  const io::Checkpoint& main = store.keep(io::Checkpoint::open(folder));
  std::vector<io::WeightSource> sources;
  sources.push_back({folder.string(), &main, detail::llava_names(main, config, blocks, folder.string())});
  if (config.original_layout && !config.tower_in_model) {
    const std::string where = config.vision_tower.string();
    const io::Checkpoint& tower = store.keep(io::Checkpoint::open(config.vision_tower));
    sources.push_back({where, &tower, detail::tower_names(tower, blocks, config.vision.depth, where)});
  }
  if (new_connector_seed == nullptr) {
    io::load_weights(model, sources, ops, store, progress);
    return model;
  }
  sources.front().names.ignored.emplace_back(config.original_layout ? "mm_projector." : "multi_modal_projector.");
  detail::TowerAndLanguage<Model> given{model};
  io::load_weights(given, sources, ops, store, progress);
  detail::initialize_connector(model.connector, ops, store, *new_connector_seed);
  return model;
}

}  // namespace tessera::hub

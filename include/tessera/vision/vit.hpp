#pragma once
/// Vision transformers. The CLIP flavour has a class token, a norm before the first block (`pre_layrnorm`, spelt so in
/// the published files) and hands on a chosen hidden state. Reference: transformers models/clip/modeling_clip.py.

#include <algorithm>
#include <string>
#include <vector>

#include "tessera/layer/attention.hpp"
#include "tessera/layer/mlp.hpp"
#include "tessera/layer/norm.hpp"
#include "tessera/layer/patch_embed.hpp"

namespace tessera {

/// Run-time config of a CLIP tower; a config type may hide any field by a `static constexpr` one of the same name.
/// The defaults are those of the reference's class (ViT-B/32).
struct ClipVisionConfig {
  int image_size = 224;
  int patch_size = 32;
  int width = 768;
  int heads = 12;
  int depth = 12;
  int inner = 3072;
  float norm_eps = 1e-5f;
  Activation act = Activation::quick_gelu;

  template <class V, class C>
  static void fields(V&& v, C& c) {
    v("image_size", c.image_size);
    v("patch_size", c.patch_size);
    v("hidden_size", c.width);
    v("num_attention_heads", c.heads);
    v("num_hidden_layers", c.depth);
    v("intermediate_size", c.inner);
    v("layer_norm_eps", c.norm_eps);
    v("hidden_act", c.act);
  }
};

/// Which hidden states a tower hands on: indices into [after the embedding, after block 1, …, after block depth],
/// negative ones count from the end; several are concatenated channel by channel. `class_token` keeps row 0.
struct FeatureSelection {
  std::vector<int> layers{-2};
  bool class_token = false;
};

/// x + attention(norm(x)), then x + mlp(norm(x)): a pre-norm transformer block.
template <class Config = ClipVisionConfig, class Format = any_format>
struct ViTBlock {
  static constexpr dim width = ext<&Config::width>, inner = ext<&Config::inner>;
  static constexpr dim in_width = width, out_width = width;
  using Norm = LayerNorm<width>;
  using SelfAttention = Attention<width, width, width, Format>;
  using FeedForward = Mlp<width, inner, Format>;

  Norm layer_norm1;
  SelfAttention self_attn;
  Norm layer_norm2;
  FeedForward mlp;

  explicit ViTBlock(const Config& cfg, DType dtype = DType::f32)
      : layer_norm1(cfg.width, cfg.norm_eps),
        self_attn({.width = cfg.width,
                   .heads = cfg.heads,
                   .kv_heads = cfg.heads,
                   .head_dim = cfg.width / cfg.heads,
                   .qkv_bias = true,
                   .out_bias = true,
                   .out_name = "out_proj"},
                  dtype),
        layer_norm2(cfg.width, cfg.norm_eps),
        mlp(cfg.width, cfg.inner, cfg.act, dtype) {}
  int out() const { return mlp.out(); }

  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v("layer_norm1", l.layer_norm1...);
    v("self_attn", l.self_attn...);
    v("layer_norm2", l.layer_norm2...);
    v("mlp", l.mlp...);
  }

  template <Need N, class S>
  struct Saved {
    typename Norm::template Saved<N, S> norm1, norm2;
    typename SelfAttention::template Saved<N, S> attention;
    typename FeedForward::template Saved<N, S> mlp;
  };

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, Saved<N, S>& saved) const {
    TemporaryScope<N> scope(c.arena);
    const Mat<S> normed = c.arena.template mat<S>(x.rows, x.cols), middle = c.arena.template mat<S>(x.rows, x.cols);
    layer_norm1.template forward<N>(c, x, normed, saved.norm1);
    self_attn.template forward<N>(c, normed, middle, {.residual = x}, saved.attention);
    const Mat<S> again = N.any() ? c.arena.template mat<S>(x.rows, x.cols) : normed;
    layer_norm2.template forward<N>(c, middle, again, saved.norm2);
    mlp.template forward<N>(c, again, y, middle, saved.mlp);
  }
};

/// A CLIP vision tower: pixels → the selected hidden states, one row a token.
template <class Config = ClipVisionConfig, class Format = any_format>
struct ViT {
  static constexpr dim width = ext<&Config::width>;
  using Block = ViTBlock<Config, Format>;

  /// The inputs of the first block: class token, patches and positions, then a norm.
  struct Embeddings {
    Vector<width> class_embedding;
    PatchEmbed<width, ext<&Config::patch_size>, Format> patch_embedding;
    struct Positions {
      Table<any_format, dyn, width> weight;
      template <class V, class... L>
      static void params(V&& v, L&... l) {
        v("weight", l.weight...);
      }
    } position_embedding;

    Embeddings(const Config& cfg, DType dtype)
        : class_embedding(cfg.width),
          patch_embedding(cfg.width, cfg.patch_size, false, dtype),
          position_embedding{{1 + grid(cfg) * grid(cfg), cfg.width, DType::f32}} {}

    template <class V, class... L>
    static void params(V&& v, L&... l) {
      v("class_embedding", l.class_embedding...);
      v("patch_embedding", l.patch_embedding...);
      v("position_embedding", l.position_embedding...);
    }
  };
  struct Encoder {
    std::vector<Block> layers;
    template <class V, class... L>
    static void params(V&& v, L&... l) {
      v("layers", l.layers...);
    }
  };

  /// The width of one hidden state; with several selected layers the output is a multiple that only the config knows.
  static constexpr dim out_width = width;

  Config config;
  FeatureSelection selection;
  Embeddings embeddings;
  LayerNorm<width> pre_layrnorm;
  Encoder encoder;

  explicit ViT(const Config& cfg, FeatureSelection select = {}, DType dtype = DType::f32)
      : config(checked(cfg)),
        selection(std::move(select)),
        embeddings(cfg, dtype),
        pre_layrnorm(cfg.width, cfg.norm_eps) {
    for (int& layer : selection.layers) layer = state_index(layer);
    if (selection.layers.empty()) fail("vision tower: no hidden state is selected");
    // Blocks after the last selected state are never run, so they are not even loaded.
    const int blocks = *std::max_element(selection.layers.begin(), selection.layers.end());
    for (int i = 0; i < blocks; ++i) encoder.layers.emplace_back(cfg, dtype);
  }

  /// Floats of one image: 3 × image_size × image_size.
  std::size_t pixels() const { return 3 * static_cast<std::size_t>(config.image_size) * config.image_size; }
  /// Rows that one image becomes.
  int tokens() const { return grid(config) * grid(config) + (selection.class_token ? 1 : 0); }
  int out() const { return config.width * static_cast<int>(selection.layers.size()); }

  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v("embeddings", l.embeddings...);
    v("pre_layrnorm", l.pre_layrnorm...);
    v("encoder", l.encoder...);
  }

  template <Need N, class S>
  struct Saved {
    typename PatchEmbed<width, ext<&Config::patch_size>, Format>::template Saved<N, S> patches;
    typename LayerNorm<width>::template Saved<N, S> norm;
    [[no_unique_address]] SavedList<N, typename Block::template Saved<N, S>> blocks;
  };

  /// image: float [3, image_size, image_size], normalised. y: [tokens(), out()].
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, const float* image, Mat<S> y, Saved<N, S>& saved) const {
    TemporaryScope<N> scope(c.arena);
    const int rows = embeddings.position_embedding.weight.rows();
    Mat<S> x = c.arena.template mat<S>(rows, config.width), next = c.arena.template mat<S>(rows, config.width);
    embed<N>(c, image, next, saved);
    pre_layrnorm.template forward<N>(c, next, x, saved.norm);
    hand_on<S>(c, 0, x, y);
    saved.blocks.resize(encoder.layers.size());
    for (std::size_t i = 0; i < encoder.layers.size(); ++i) {
      if constexpr (N.any()) next = c.arena.template mat<S>(rows, config.width);  // backward reads every state
      encoder.layers[i].template forward<N>(c, x, next, saved.blocks[i]);
      std::swap(x, next);
      hand_on<S>(c, static_cast<int>(i) + 1, x, y);
    }
  }

 private:
  static constexpr int grid(const Config& cfg) { return cfg.image_size / cfg.patch_size; }

  static const Config& checked(const Config& cfg) {
    if (cfg.patch_size < 1 || cfg.image_size < cfg.patch_size || cfg.image_size > 8192) {
      fail("vision config: image_size ", cfg.image_size, " and patch_size ", cfg.patch_size, " make no patch grid");
    }
    if (cfg.heads < 1 || cfg.width < 1 || cfg.width % cfg.heads != 0) {
      fail("vision config: hidden_size ", cfg.width, " is not a multiple of num_attention_heads ", cfg.heads);
    }
    if (cfg.depth < 1 || cfg.depth > 1024 || cfg.inner < 1) {
      fail("vision config: num_hidden_layers ", cfg.depth, " or intermediate_size ", cfg.inner, " is out of range");
    }
    return cfg;
  }

  int state_index(int layer) const {
    const int index = layer < 0 ? config.depth + 1 + layer : layer;
    if (index < 0 || index > config.depth) {
      fail("vision feature layer ", layer, " does not exist: the tower has hidden states 0 to ", config.depth);
    }
    return index;
  }

  template <Need N, class Ctx, class S>
  void embed(Ctx& c, const float* image, Mat<S> x, Saved<N, S>& saved) const {
    const int size = config.image_size;
    embeddings.patch_embedding.template forward<N>(c, image, size, size, x.rows_at(1, x.rows - 1), saved.patches);
    if (c.arena.counting()) return;
    const float* position = static_cast<const float*>(embeddings.position_embedding.weight.data());
    const float* class_token = embeddings.class_embedding.values();
    for (int k = 0; k < x.cols; ++k) x(0, k) = S(class_token[k]);
    for (int r = 0; r < x.rows; ++r) {
      for (int k = 0; k < x.cols; ++k) x(r, k) += S(*position++);
    }
  }

  /// Copies hidden state `index` to the columns of y that asked for it.
  template <class S>
  void hand_on(Run& c, int index, Input<S> state, Mat<S> y) const {
    if (c.arena.counting()) return;
    for (std::size_t i = 0; i < selection.layers.size(); ++i) {
      if (selection.layers[i] != index) continue;
      const int skip = selection.class_token ? 0 : 1;
      copy(state.rows_at(skip, y.rows), y.cols_at(static_cast<int>(i) * config.width, config.width));
    }
  }
};

}  // namespace tessera

#pragma once
/// Vision transformers. The CLIP flavour has a class token, a norm before the first block (`pre_layrnorm`, spelt so in
/// the published files) and hands on a chosen hidden state. Reference: transformers models/clip/modeling_clip.py.

#include <algorithm>
#include <string>
#include <vector>

#include "tessera/layer/blocks.hpp"
#include "tessera/layer/embedding.hpp"
#include "tessera/layer/mlp.hpp"
#include "tessera/layer/norm.hpp"
#include "tessera/layer/patch_embed.hpp"

namespace tessera {

/// Run-time config of a CLIP tower; a config type may hide any field by a `static constexpr` one of the same name.
/// The defaults are those of the reference's class (ViT-B/32).
struct ClipVisionConfig {
  using Family = ClipVisionConfig;
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

namespace detail {

template <class Config, class Format>
using ViTParts = PreNormBlock<LayerNorm<ext<&Config::width>>,
                              Attention<ext<&Config::width>, ext<&Config::width>, ext<&Config::width>, Format>,
                              Mlp<ext<&Config::width>, ext<&Config::inner>, Format>>;

}  // namespace detail

/// A pre-norm block with LayerNorm and a plain MLP.
template <class Config = ClipVisionConfig, class Format = any_format>
struct ViTBlock : detail::ViTParts<Config, Format> {
  using Parts = detail::ViTParts<Config, Format>;

  explicit ViTBlock(const Config& cfg, DType dtype = DType::f32, bool causal = false)
      : Parts(typename Parts::Norm(cfg.width, cfg.norm_eps),
              typename Parts::SelfAttention({.width = cfg.width,
                                             .heads = cfg.heads,
                                             .kv_heads = cfg.heads,
                                             .head_dim = cfg.width / cfg.heads,
                                             .qkv_bias = true,
                                             .out_bias = true,
                                             .causal = causal,
                                             .out_name = "out_proj"},
                                            dtype),
              typename Parts::FeedForward(cfg.width, cfg.inner, cfg.act, dtype)) {}

  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v("layer_norm1", l.norm1...);
    v("self_attn", l.self_attn...);
    v("layer_norm2", l.norm2...);
    v("mlp", l.mlp...);
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
    Embedding<dyn, width> position_embedding;

    Embeddings(const Config& cfg, DType dtype)
        : class_embedding(cfg.width),
          patch_embedding(cfg.width, cfg.patch_size, false, dtype),
          position_embedding(1 + grid(cfg) * grid(cfg), cfg.width) {}

    template <class V, class... L>
    static void params(V&& v, L&... l) {
      v("class_embedding", l.class_embedding...);
      v("patch_embedding", l.patch_embedding...);
      v("position_embedding", l.position_embedding...);
    }
  };
  /// The width of one hidden state; with several selected layers the output is a multiple that only the config knows.
  static constexpr dim out_width = width;

  Config config;
  FeatureSelection selection;
  Embeddings embeddings;
  LayerNorm<width> pre_layrnorm;
  BlockList<Block> encoder;

  explicit ViT(const Config& cfg, FeatureSelection select = {}, DType dtype = DType::f32)
      : config(checked(cfg)),
        selection(std::move(select)),
        embeddings(cfg, dtype),
        pre_layrnorm(cfg.width, cfg.norm_eps) {
    check_range("vision tower: number of selected hidden states", static_cast<int>(selection.layers.size()), 1, 256);
    for (int& layer : selection.layers) layer = state_index(layer);
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
    LinearSaved<N, S> patches;
    typename LayerNorm<width>::template Saved<N.inner(), S> norm;
    [[no_unique_address]] SavedList<N, typename Block::template Saved<N.inner(), S>> blocks;
  };

  /// images: `count` images one after the other, each float [3, image_size, image_size], normalised.
  /// y: [count · tokens(), out()].
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, const float* images, int count, Mat<S> y, Saved<N, S>& saved) const {
    const Arena::Scope scope(c.arena);
    const Sequences sequences(count, states());
    const auto state_mat = [&] { return c.arena.template mat<S>(sequences.rows(), config.width, kept_if(N.any())); };
    const Mat<S> embedded = state_mat(), first = state_mat();
    embed<N>(c, images, sequences, embedded, saved);
    pre_layrnorm.template forward<N.inner()>(c, embedded, first, saved.norm);
    forward_blocks<N.inner()>(
        c, encoder.layers, first, [&](std::size_t) { return AttentionInputs<S>{.sequences = &sequences}; },
        saved.blocks,
        [&](std::size_t index, Mat<const S> state) { hand_on<S>(c, static_cast<int>(index), sequences, state, y); });
  }

  /// One image.
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, const float* image, Mat<S> y, Saved<N, S>& saved) const {
    forward<N>(c, image, 1, y, saved);
  }

  /// The gradients of the weights; pixels get none.
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, int count) const {
    static_assert(!N.dx, "ViT: gradients of pixels are not provided");
    const Arena::Scope scope(c.arena);
    const Sequences sequences(count, states());
    const auto zero_mat = [&] { return c.arena.template zeros<S>(sequences.rows(), config.width); };
    const Mat<S> last = zero_mat(), embedded = zero_mat();
    const Mat<S> first = backward_blocks<N.inner()>(
        c, encoder.layers, saved.blocks, last, {.sequences = &sequences},
        [&](std::size_t index, Mat<S> dstate) { take_back<S>(c, static_cast<int>(index), sequences, dy, dstate); });
    pre_layrnorm.template backward<N.inner()>(c, saved.norm, first, embedded);
    embed_backward<N>(c, saved, embedded, sequences);
  }

 private:
  static constexpr int grid(const Config& cfg) { return cfg.image_size / cfg.patch_size; }

  static const Config& checked(const Config& cfg) {
    check_range("vision config: image_size", cfg.image_size, 1, 8192);
    check_range("vision config: patch_size", cfg.patch_size, 1, cfg.image_size);
    check_range("vision config: image_size / patch_size", grid(cfg), 1, 1024);
    check_range("vision config: hidden_size", cfg.width, 1, 1 << 16);
    check_range("vision config: num_attention_heads", cfg.heads, 1, 1024);
    check_range("vision config: num_hidden_layers", cfg.depth, 1, 1024);
    check_range("vision config: intermediate_size", cfg.inner, 1, 1 << 20);
    check_range("vision config: layer_norm_eps", cfg.norm_eps, 0.0f, 1.0f);
    if (cfg.width % cfg.heads != 0) {
      fail("vision config: hidden_size ", cfg.width, " is not a multiple of num_attention_heads ", cfg.heads);
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

  /// Rows of one image inside the tower.
  int states() const { return embeddings.position_embedding.weight.rows(); }

  template <Need N, class Ctx, class S>
  void embed(Ctx& c, const float* images, const Sequences& sequences, Mat<S> x, Saved<N, S>& saved) const {
    const Arena::Scope scope(c.arena);
    const int size = config.image_size, each = states() - 1;
    const Mat<S> patches = c.arena.template mat<S>(sequences.count() * each, config.width);
    embeddings.patch_embedding.template forward<N>(c, images, sequences.count(), size, size, patches, saved.patches);
    if (c.arena.counting()) return;
    const float* class_token = embeddings.class_embedding.values();
    for (int image = 0; image < sequences.count(); ++image) {
      const float* position = static_cast<const float*>(embeddings.position_embedding.weight.data());
      for (int r = 0; r <= each; ++r, position += x.cols) {
        S* row = x.row(sequences.begin(image) + r);
        for (int k = 0; k < x.cols; ++k)
          row[k] = S(position[k]) + (r == 0 ? S(class_token[k]) : patches(image * each + r - 1, k));
      }
    }
  }

  template <Need N, class Ctx, class S>
  void embed_backward(Ctx& c, const Saved<N, S>& saved, Input<S> dx, const Sequences& sequences) const {
    const int each = states() - 1;
    const Mat<S> patches = c.arena.template mat<S>(sequences.count() * each, config.width);
    const Mat<S> class_token = c.gradients(embeddings.class_embedding),
                 positions = c.gradients(embeddings.position_embedding.weight);
    if (!c.arena.counting()) {
      for (int image = 0; image < sequences.count(); ++image) {
        const Mat<const S> rows = dx.rows_at(sequences.begin(image), each + 1);
        copy(rows.rows_at(1, each), patches.rows_at(image * each, each));
        accumulate(rows.rows_at(0, 1), class_token);
        accumulate(rows, positions);
      }
    }
    embeddings.patch_embedding.template backward<N>(c, saved.patches, patches);
  }

  /// Calls f(columns of y, rows of the hidden states) for every part of y that hidden state `index` is handed on to.
  template <class Y, class State, class F>
  void each_selected(int index, const Sequences& sequences, Y y, State state, F&& f) const {
    const int skip = selection.class_token ? 0 : 1;
    for (std::size_t i = 0; i < selection.layers.size(); ++i) {
      if (selection.layers[i] != index) continue;
      const Y columns = y.cols_at(static_cast<int>(i) * config.width, config.width);
      for (int image = 0; image < sequences.count(); ++image)
        f(columns.rows_at(image * tokens(), tokens()), state.rows_at(sequences.begin(image) + skip, tokens()));
    }
  }

  template <class S>
  void hand_on(Run& c, int index, const Sequences& sequences, Input<S> state, Mat<S> y) const {
    if (c.arena.counting()) return;
    each_selected(index, sequences, y, state, [](Mat<S> to, Mat<const S> from) { copy(from, to); });
  }
  template <class S>
  void take_back(Run& c, int index, const Sequences& sequences, Input<S> dy, Mat<S> dstate) const {
    if (c.arena.counting()) return;
    each_selected(index, sequences, dy, dstate, [](Mat<const S> from, Mat<S> to) { accumulate(from, to); });
  }
};

}  // namespace tessera

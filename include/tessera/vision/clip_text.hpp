#pragma once
/// The text half of CLIP (Radford et al. 2021), which a vision tower is trained against. Reference: transformers
/// models/clip/modeling_clip.py, CLIPTextTransformer.

#include <span>
#include <vector>

#include "tessera/core/sequences.hpp"
#include "tessera/layer/embedding.hpp"
#include "tessera/vision/vit.hpp"

namespace tessera {

/// Run-time config of CLIP's text model. The defaults are those of the reference's class.
struct ClipTextConfig {
  int vocab = 49408;
  int positions = 77;
  int width = 512;
  int heads = 8;
  int depth = 12;
  int inner = 2048;
  float norm_eps = 1e-5f;
  Activation act = Activation::quick_gelu;
};

/// Token ids → one row for each text: the final norm of its last token, which sees all others.
template <class Config = ClipTextConfig, class Format = any_format>
struct ClipText {
  static constexpr dim width = ext<&Config::width>;
  using Block = ViTBlock<Config, Format>;

  struct Embeddings {
    Embedding<dyn, width, Format> token_embedding, position_embedding;
    template <class V, class... L>
    static void params(V&& v, L&... l) {
      v("token_embedding", l.token_embedding...);
      v("position_embedding", l.position_embedding...);
    }
  };

  Embeddings embeddings;
  BlockList<Block> encoder;
  LayerNorm<width> final_layer_norm;

  explicit ClipText(const Config& cfg, DType dtype = DType::f32)
      : embeddings{{cfg.vocab, cfg.width, dtype}, {cfg.positions, cfg.width, dtype}},
        encoder{},
        final_layer_norm(cfg.width, cfg.norm_eps) {
    for (int i = 0; i < cfg.depth; ++i) encoder.layers.emplace_back(cfg, dtype, true);
  }
  int out() const { return final_layer_norm.out(); }

  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v("embeddings", l.embeddings...);
    v("encoder", l.encoder...);
    v("final_layer_norm", l.final_layer_norm...);
  }

  template <Need N, class S>
  struct Saved {
    [[no_unique_address]] SavedList<N, typename Block::template Saved<N.inner(), S>> blocks;
    typename LayerNorm<width>::template Saved<N.inner(), S> norm;
  };

  /// ids: of all texts, which `texts` tells apart, none longer than the positions. y: [texts, width].
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, std::span<const int> ids, const Sequences& texts, Mat<S> y, Saved<N, S>& saved) const {
    const Arena::Scope scope(c.arena);
    const auto state_mat = [&](int rows) { return c.arena.template mat<S>(rows, out(), kept_if(N.any())); };
    const Mat<S> first = state_mat(texts.rows()), pooled = state_mat(texts.count());
    embed(c, ids, texts, first);
    const Mat<const S> last = forward_blocks<N.inner()>(
        c, encoder.layers, first, [&](std::size_t) { return AttentionInputs<S>{.sequences = &texts}; }, saved.blocks);
    if (!c.arena.counting())
      each_last(texts, [&](int text, int row) { copy<S>(last.rows_at(row, 1), pooled.rows_at(text, 1)); });
    final_layer_norm.template forward<N.inner()>(c, pooled, y, saved.norm);
  }

  /// The gradients of the weights.
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, std::span<const int> ids, const Sequences& texts, Input<S> dy) const {
    static_assert(!N.dx, "ClipText: ids have no gradient");
    const Arena::Scope scope(c.arena);
    const auto zero_mat = [&](int rows) { return c.arena.template zeros<S>(rows, out()); };
    const Mat<S> last = zero_mat(texts.rows()), pooled = zero_mat(texts.count());
    final_layer_norm.template backward<N.inner()>(c, saved.norm, dy, pooled);
    if (!c.arena.counting())
      each_last(texts, [&](int text, int row) { copy<S>(pooled.rows_at(text, 1), last.rows_at(row, 1)); });
    const Mat<S> first = backward_blocks<N.inner()>(c, encoder.layers, saved.blocks, last, {.sequences = &texts});
    if constexpr (N.dw) {
      embeddings.token_embedding.backward(c, ids, first);
      const Mat<S> positions = c.gradients(embeddings.position_embedding.weight);
      if (c.arena.counting()) return;
      for (int i = 0; i < texts.count(); ++i)
        accumulate<S>(first.rows_at(texts.begin(i), texts.length(i)), positions.rows_at(0, texts.length(i)));
    }
  }

 private:
  template <class F>
  static void each_last(const Sequences& texts, F&& f) {
    for (int i = 0; i < texts.count(); ++i) f(i, texts.begin(i + 1) - 1);
  }

  template <class Ctx, class S>
  void embed(Ctx& c, std::span<const int> ids, const Sequences& texts, Mat<S> x) const {
    const Arena::Scope scope(c.arena);
    const Mat<S> positions = c.arena.template mat<S>(texts.longest(), out());
    std::vector<int> numbers(static_cast<std::size_t>(texts.longest()));
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<int>(i);
    embeddings.token_embedding.forward(c, ids, x);
    embeddings.position_embedding.forward(c, numbers, positions);
    if (c.arena.counting()) return;
    for (int i = 0; i < texts.count(); ++i)
      accumulate<S>(positions.rows_at(0, texts.length(i)), x.rows_at(texts.begin(i), texts.length(i)));
  }
};

}  // namespace tessera

#pragma once
/// LLaMA decoders (Touvron et al. 2023), Vicuna and LLaMA-2/3 included. Reference: transformers
/// models/llama/modeling_llama.py.

#include <span>
#include <type_traits>
#include <vector>

#include "tessera/language/kv_cache.hpp"
#include "tessera/layer/blocks.hpp"
#include "tessera/layer/embedding.hpp"
#include "tessera/layer/mlp.hpp"
#include "tessera/layer/norm.hpp"

namespace tessera {

/// Run-time config; a config type may hide any field by a `static constexpr` one of the same name. The defaults are
/// those of the reference's class. `kv_heads` and `head_dim` of 0 mean "as many as heads" and "width / heads".
struct LlamaConfig {
  using Family = LlamaConfig;
  int vocab = 32000;
  int width = 4096;
  int inner = 11008;
  int depth = 32;
  int heads = 32;
  int kv_heads = 0;
  int head_dim = 0;
  float norm_eps = 1e-6f;
  Activation act = Activation::silu;
  bool attention_bias = false;
  bool mlp_bias = false;
  bool tied_head = false;
  int max_positions = 2048;
  RopeConfig rope{};

  template <class V, class C>
  static void fields(V&& v, C& c) {
    v("vocab_size", c.vocab);
    v("hidden_size", c.width);
    v("intermediate_size", c.inner);
    v("num_hidden_layers", c.depth);
    v("num_attention_heads", c.heads);
    v("num_key_value_heads", c.kv_heads);
    v("head_dim", c.head_dim);
    v("rms_norm_eps", c.norm_eps);
    v("hidden_act", c.act);
    v("attention_bias", c.attention_bias);
    v("mlp_bias", c.mlp_bias);
    v("tie_word_embeddings", c.tied_head);
    v("max_position_embeddings", c.max_positions);
    v("rope_theta", c.rope.theta);
    v("rope_scaling", c.rope);
    v("rope_parameters", c.rope);
  }
};

namespace detail {

template <class C>
constexpr int kv_heads_of(const C& cfg) {
  return cfg.kv_heads != 0 ? cfg.kv_heads : cfg.heads;
}
template <class C>
constexpr int head_dim_of(const C& cfg) {
  return cfg.head_dim != 0 ? cfg.head_dim : cfg.width / cfg.heads;
}

template <class Config, class Format>
using LlamaParts = PreNormBlock<RMSNorm<ext<&Config::width>>, Attention<ext<&Config::width>, dyn, dyn, Format>,
                                GatedMlp<ext<&Config::width>, ext<&Config::inner>, Format>>;

}  // namespace detail

/// A pre-norm block with RMSNorm, rotary positions, grouped heads and a gated MLP.
template <class Config = LlamaConfig, class Format = any_format>
struct LlamaBlock : detail::LlamaParts<Config, Format> {
  using Parts = detail::LlamaParts<Config, Format>;

  explicit LlamaBlock(const Config& cfg, DType dtype = DType::f32)
      : Parts(typename Parts::Norm(cfg.width, cfg.norm_eps),
              typename Parts::SelfAttention({.width = cfg.width,
                                             .heads = cfg.heads,
                                             .kv_heads = detail::kv_heads_of(cfg),
                                             .head_dim = detail::head_dim_of(cfg),
                                             .qkv_bias = cfg.attention_bias,
                                             .out_bias = cfg.attention_bias,
                                             .causal = true,
                                             .out_name = "o_proj"},
                                            dtype),
              typename Parts::FeedForward(cfg.width, cfg.inner, cfg.act, cfg.mlp_bias, dtype)) {}

  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v("self_attn", l.self_attn...);
    v("mlp", l.mlp...);
    v("input_layernorm", l.norm1...);
    v("post_attention_layernorm", l.norm2...);
  }
};

/// A LLaMA causal language model. Published names: `model.embed_tokens`, `model.layers.i`, `model.norm`, `lm_head`.
/// `Block` may be `Recompute<LlamaBlock<…>>`, which makes training slower and its memory smaller.
template <class Config = LlamaConfig, class Format = any_format, class BlockT = LlamaBlock<Config, Format>>
struct Llama {
  static constexpr dim in_width = ext<&Config::width>, out_width = ext<&Config::vocab>;
  using Block = BlockT;
  using Head = Linear<in_width, out_width, Format, 0>;

  struct Decoder {
    Embedding<out_width, in_width, Format> embed_tokens;
    std::vector<Block> layers;
    RMSNorm<in_width> norm;

    template <class V, class... L>
    static void params(V&& v, L&... l) {
      v("embed_tokens", l.embed_tokens...);
      v("layers", l.layers...);
      v("norm", l.norm...);
    }
  };

  Config config;
  Decoder model;
  Head lm_head;
  Rotary rotary;

  explicit Llama(const Config& cfg, DType dtype = DType::f32)
      : config(checked(cfg)),
        model{{cfg.vocab, cfg.width, dtype}, {}, RMSNorm<in_width>(cfg.width, cfg.norm_eps)},
        lm_head(cfg.width, cfg.vocab, false, dtype),
        rotary(detail::head_dim_of(cfg), cfg.rope) {
    for (int i = 0; i < cfg.depth; ++i) model.layers.emplace_back(cfg, dtype);
  }
  int width() const { return config.width; }
  int vocab() const { return config.vocab; }
  int out() const { return config.vocab; }

  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v("model", l.model...);
    v("lm_head", l.lm_head...);
  }

  template <Need N, class S>
  struct Saved {
    [[no_unique_address]] SavedList<N, typename Block::template Saved<N.inner(), S>> blocks;
    typename RMSNorm<in_width>::template Saved<N.inner(), S> norm;
  };

  /// If the config ties the head to the table of embeddings: makes them one weight, which is returned.
  WeightView tie_head() {
    if (!config.tied_head) return {};
    lm_head.weight.share(model.embed_tokens.weight);
    return lm_head.weight.view();
  }

  template <class S>
  KvCache<S> make_cache(int tokens) const {
    return KvCache<S>(config.depth, tokens, kv_width());
  }
  /// One without memory, for a counting pass.
  template <class S>
  KvCache<S> counting_cache(int tokens) const {
    return KvCache<S>::counting(config.depth, tokens, kv_width());
  }

  /// ids: each in [0, vocab()). y: [ids.size(), width].
  template <class Ctx>
  void embed(Ctx& c, std::span<const int> ids, Mat<typename Ctx::Scalar> y) const {
    model.embed_tokens.forward(c, ids, y);
  }

  /// Adds the gradients of the rows that embed made of ids to the table's.
  template <class Ctx>
  void embed_backward(Ctx& c, std::span<const int> ids, Input<typename Ctx::Scalar> dy) const {
    model.embed_tokens.backward(c, ids, dy);
  }

  /// Runs rows x [tokens, width], which follow the tokens in the cache, and appends them to it. y: the final norm's
  /// output, [tokens, width].
  template <class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, KvCache<S>& cache) const {
    const Arena::Scope scope(c.arena);
    const int past = cache.size();
    cache.grow(x.rows);
    const RotaryTables<S> rope = rotary.tables(c, past, x.rows);
    Saved<inference, S> nothing;
    run<inference>(c, x, y, {.rope = &rope}, &cache, nothing);
  }

  /// Runs whole sequences, without a cache. x, y as above, [rows of all sequences, width]. With N.any() x and y are to
  /// live until backward, as the blocks' states do.
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, const Sequences& sequences, Mat<S> y, Saved<N, S>& saved) const {
    const Arena::Scope scope(c.arena);
    const RotaryTables<S> rope = rotary.tables(c, 0, sequences.longest());
    run<N>(c, x, y, {.rope = &rope, .sequences = &sequences}, nullptr, saved);
  }

  /// dy: of the final norm's output. Adds to dx.
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx, const Sequences& sequences) const {
    const Arena::Scope scope(c.arena);
    const RotaryTables<S> rope = rotary.tables(c, 0, sequences.longest()),
                          unrotate = rotary.tables(c, 0, sequences.longest(), -1);
    const Mat<S> state = c.arena.template zeros<S>(dy.rows, dy.cols);
    model.norm.template backward<N.inner()>(c, saved.norm, dy, state);
    const AttentionInputs<S> inputs{.rope = &rope, .unrotate = &unrotate, .sequences = &sequences};
    c.ops.add(c, backward_blocks<N.inner()>(c, model.layers, saved.blocks, state, inputs), dx);
  }

  /// logits: [rows of hidden, vocab].
  template <class Ctx, class S = typename Ctx::Scalar>
  void head(Ctx& c, Input<S> hidden, Mat<S> logits) const {
    infer(lm_head, c, hidden, logits);
  }

 private:
  int kv_width() const { return detail::kv_heads_of(config) * detail::head_dim_of(config); }

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void run(Ctx& c, Input<S> x, Mat<S> y, AttentionInputs<S> inputs, const std::type_identity_t<KvCache<S>>* cache,
           Saved<N, S>& saved) const {
    KeyValues<S> kv;
    if (cache != nullptr) inputs.kv = &kv;
    const auto inputs_of = [&](std::size_t block) {
      if (cache != nullptr) kv = cache->block(static_cast<int>(block));
      return inputs;
    };
    const Mat<const S> last = forward_blocks<N.inner()>(c, model.layers, x, inputs_of, saved.blocks);
    model.norm.template forward<N.inner()>(c, last, y, saved.norm);
  }

  static const Config& checked(const Config& cfg) {
    check_range("language config: vocab_size", cfg.vocab, 1, 1 << 24);
    check_range("language config: hidden_size", cfg.width, 1, 1 << 16);
    check_range("language config: intermediate_size", cfg.inner, 1, 1 << 20);
    check_range("language config: num_hidden_layers", cfg.depth, 1, 1024);
    check_range("language config: num_attention_heads", cfg.heads, 1, 1024);
    check_range("language config: num_key_value_heads", cfg.kv_heads, 0, cfg.heads);  // 0: as many as heads
    check_range("language config: head_dim", cfg.head_dim, 0, 4096);                  // 0: width / heads
    check_range("language config: rms_norm_eps", cfg.norm_eps, 0.0f, 1.0f);
    check_range("language config: max_position_embeddings", cfg.max_positions, 1, 1 << 24);
    if (cfg.head_dim == 0 && cfg.width % cfg.heads != 0) {
      fail("language config: hidden_size ", cfg.width, " is not a multiple of num_attention_heads ", cfg.heads);
    }
    return cfg;
  }
};

}  // namespace tessera

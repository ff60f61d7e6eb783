#pragma once
/// LLaMA decoders (Touvron et al. 2023), Vicuna and LLaMA-2/3 included. Reference: transformers
/// models/llama/modeling_llama.py.

#include <span>
#include <type_traits>
#include <vector>

#include "tessera/language/kv_cache.hpp"
#include "tessera/layer/attention.hpp"
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

}  // namespace detail

/// x + attention(norm(x)), then x + mlp(norm(x)), with RMSNorm, rotary positions, grouped heads and a gated MLP.
template <class Config = LlamaConfig, class Format = any_format>
struct LlamaBlock {
  static constexpr dim width = ext<&Config::width>;
  static constexpr dim in_width = width, out_width = width;
  using Norm = RMSNorm<width>;
  using SelfAttention = Attention<width, dyn, dyn, Format>;
  using FeedForward = GatedMlp<width, ext<&Config::inner>, Format>;

  Norm input_layernorm;
  SelfAttention self_attn;
  Norm post_attention_layernorm;
  FeedForward mlp;

  explicit LlamaBlock(const Config& cfg, DType dtype = DType::f32)
      : input_layernorm(cfg.width, cfg.norm_eps),
        self_attn({.width = cfg.width,
                   .heads = cfg.heads,
                   .kv_heads = detail::kv_heads_of(cfg),
                   .head_dim = detail::head_dim_of(cfg),
                   .qkv_bias = cfg.attention_bias,
                   .out_bias = cfg.attention_bias,
                   .causal = true,
                   .out_name = "o_proj"},
                  dtype),
        post_attention_layernorm(cfg.width, cfg.norm_eps),
        mlp(cfg.width, cfg.inner, cfg.act, cfg.mlp_bias, dtype) {}
  int out() const { return mlp.out(); }

  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v("self_attn", l.self_attn...);
    v("mlp", l.mlp...);
    v("input_layernorm", l.input_layernorm...);
    v("post_attention_layernorm", l.post_attention_layernorm...);
  }

  template <Need N, class S>
  struct Saved {
    typename Norm::template Saved<N, S> norm1;
    typename SelfAttention::template Saved<N.inner(), S> attention;
    typename Norm::template Saved<N.inner(), S> norm2;
    typename FeedForward::template Saved<N.inner(), S> mlp;
  };

  /// `args` as in Attention::forward; its residual is set here.
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, AttentionInputs<S> args, Saved<N, S>& saved) const {
    const Arena::Scope scope(c.arena);
    const Mat<S> middle = c.arena.template mat<S>(x.rows, x.cols, kept_if(N.any())),
                 normed = c.arena.template mat<S>(x.rows, x.cols, kept_if(N.dw)),
                 again = N.dw ? c.arena.template mat<S>(x.rows, x.cols, Lifetime::backward) : normed;
    args.residual = x;
    input_layernorm.template forward<N>(c, x, normed, saved.norm1);
    self_attn.template forward<N.inner()>(c, normed, middle, args, saved.attention);
    post_attention_layernorm.template forward<N.inner()>(c, middle, again, saved.norm2);
    mlp.template forward<N.inner()>(c, again, y, middle, saved.mlp);
  }

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx, const Sequences& sequences,
                const RotaryTables<S>& unrotate) const {
    const Arena::Scope scope(c.arena);
    const Mat<S> middle = c.arena.template zeros<S>(dy.rows, dy.cols),
                 again = c.arena.template zeros<S>(dy.rows, dy.cols),
                 normed = c.arena.template zeros<S>(dy.rows, dy.cols);
    mlp.template backward<N.inner()>(c, saved.mlp, dy, again);
    c.ops.add(c, dy, middle);
    post_attention_layernorm.template backward<N.inner()>(c, saved.norm2, again, middle);
    self_attn.template backward<N.inner()>(c, saved.attention, middle, normed, sequences, &unrotate);
    if constexpr (N.dx) c.ops.add(c, middle, dx);
    input_layernorm.template backward<N>(c, saved.norm1, normed, dx);
  }
};

/// A LLaMA causal language model. Published names: `model.embed_tokens`, `model.layers.i`, `model.norm`, `lm_head`.
template <class Config = LlamaConfig, class Format = any_format>
struct Llama {
  static constexpr dim in_width = ext<&Config::width>, out_width = ext<&Config::vocab>;
  using Block = LlamaBlock<Config, Format>;
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

  /// If the config ties the head to the table of embeddings: makes them one weight, for training.
  void tie_head() {
    if (config.tied_head) lm_head.weight.share(model.embed_tokens.weight);
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
    const RotaryTables<S> unrotate = rotary.tables(c, 0, sequences.longest(), -1);
    Mat<S> state = c.arena.template zeros<S>(dy.rows, dy.cols), before = c.arena.template zeros<S>(dy.rows, dy.cols);
    model.norm.template backward<N.inner()>(c, saved.norm, dy, state);
    for (std::size_t i = model.layers.size(); i > 0; --i) {
      model.layers[i - 1].template backward<N.inner()>(c, saved.blocks[i - 1], state, before, sequences, unrotate);
      std::swap(state, before);
      if (!c.arena.counting()) fill(before, S(0));
    }
    c.ops.add(c, state, dx);
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
    const auto state_mat = [&] { return c.arena.template mat<S>(x.rows, x.cols, kept_if(N.any())); };
    Mat<S> state = state_mat(), next = state_mat();
    KeyValues<S> kv;
    if (cache != nullptr) inputs.kv = &kv;
    saved.blocks.resize(model.layers.size());
    for (std::size_t i = 0; i < model.layers.size(); ++i) {
      if (N.any() && i > 1) next = state_mat();  // backward reads every state
      if (cache != nullptr) kv = cache->block(static_cast<int>(i));
      model.layers[i].template forward<N.inner()>(c, i == 0 ? x : Input<S>(state), next, inputs, saved.blocks[i]);
      std::swap(state, next);
    }
    model.norm.template forward<N.inner()>(c, state, y, saved.norm);
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

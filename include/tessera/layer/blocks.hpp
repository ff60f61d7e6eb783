#pragma once
/// Transformer blocks, and many of them one after the other.

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include "tessera/layer/attention.hpp"

namespace tessera {

/// y = z + mlp(norm2(z)), z = x + attention(norm1(x)): a pre-norm block. What derives from it builds the parts and
/// lists them under their published names.
template <class NormT, class AttentionT, class FeedForwardT>
struct PreNormBlock {
  using Norm = NormT;
  using SelfAttention = AttentionT;
  using FeedForward = FeedForwardT;
  static constexpr dim in_width = SelfAttention::in_width, out_width = SelfAttention::out_width;

  Norm norm1;
  SelfAttention self_attn;
  Norm norm2;
  FeedForward mlp;

  PreNormBlock(Norm norm, SelfAttention attention, FeedForward feed_forward)
      : norm1(norm), self_attn(std::move(attention)), norm2(std::move(norm)), mlp(std::move(feed_forward)) {}
  int out() const { return mlp.out(); }

  template <Need N, class S>
  struct Saved {
    typename Norm::template Saved<N, S> norm1;
    typename SelfAttention::template Saved<N.inner(), S> attention;
    typename Norm::template Saved<N.inner(), S> norm2;
    typename FeedForward::template Saved<N.inner(), S> mlp;
  };

  /// `inputs` as in Attention::forward; their residual is set here.
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, AttentionInputs<S> inputs, Saved<N, S>& saved) const {
    const Arena::Scope scope(c.arena);
    const Mat<S> middle = c.arena.template mat<S>(x.rows, x.cols, kept_if(N.any())),
                 normed = c.arena.template mat<S>(x.rows, x.cols, kept_if(N.dw)),
                 again = N.dw ? c.arena.template mat<S>(x.rows, x.cols, Lifetime::backward) : normed;
    inputs.residual = x;
    norm1.template forward<N>(c, x, normed, saved.norm1);
    self_attn.template forward<N.inner()>(c, normed, middle, inputs, saved.attention);
    norm2.template forward<N.inner()>(c, middle, again, saved.norm2);
    mlp.template forward<N.inner()>(c, again, y, middle, saved.mlp);
  }

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx, const AttentionInputs<S>& inputs) const {
    const Arena::Scope scope(c.arena);
    const Mat<S> middle = c.arena.template zeros<S>(dy.rows, dy.cols),
                 again = c.arena.template zeros<S>(dy.rows, dy.cols),
                 normed = c.arena.template zeros<S>(dy.rows, dy.cols);
    mlp.template backward<N.inner()>(c, saved.mlp, dy, again);
    c.ops.add(c, dy, middle);
    norm2.template backward<N.inner()>(c, saved.norm2, again, middle);
    self_attn.template backward<N.inner()>(c, saved.attention, middle, normed, inputs);
    if constexpr (N.dx) c.ops.add(c, middle, dx);
    norm1.template backward<N>(c, saved.norm1, normed, dx);
  }
};

/// Blocks of one type. Published names: `layers.i`.
template <class Block>
struct BlockList {
  std::vector<Block> layers;

  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v("layers", l.layers...);
  }
};

/// For who does not look at the states between blocks.
struct IgnoreStates {
  template <class State>
  void operator()(std::size_t, State) const {}
};

/// Runs blocks one after the other from x on and returns the last state, which lives to the end of the caller's scope
/// (with N.any(): until the backward pass, as all states do). `inputs(i)` goes into block i; `seen(i, state)` gets the
/// state before block i, and the last one.
template <Need N, class Ctx, class Block, class SavedBlocks, class Inputs, class Seen = IgnoreStates,
          class S = typename Ctx::Scalar>
Mat<const S> forward_blocks(Ctx& c, const std::vector<Block>& blocks, Input<S> x, Inputs&& inputs, SavedBlocks& saved,
                            Seen seen = {}) {
  std::array<Mat<S>, 2> states{};  // two take turns, unless backward reads every one
  Mat<const S> state = x;
  saved.resize(blocks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    seen(i, state);
    Mat<S>& next = states[i % 2];
    if (N.any() || i < 2) next = c.arena.template mat<S>(x.rows, x.cols, kept_if(N.any()));
    blocks[i].template forward<N>(c, state, next, inputs(i), saved[i]);
    state = next;
  }
  seen(blocks.size(), state);
  return state;
}

/// The way back: dstate is the gradient of the last state; that of x is returned, in the caller's scope. `seen(i,
/// dstate)` may add to the gradient of the state before block i, and of the last one.
template <Need N, class Ctx, class Block, class SavedBlocks, class Seen = IgnoreStates, class S = typename Ctx::Scalar>
Mat<S> backward_blocks(Ctx& c, const std::vector<Block>& blocks, const SavedBlocks& saved, Mat<S> dstate,
                       const AttentionInputs<S>& inputs, Seen seen = {}) {
  Mat<S> before = c.arena.template zeros<S>(dstate.rows, dstate.cols);
  for (std::size_t i = blocks.size(); i > 0; --i) {
    seen(i, dstate);
    blocks[i - 1].template backward<N>(c, saved[i - 1], dstate, before, inputs);
    std::swap(dstate, before);
    if (!c.arena.counting()) fill(before, S(0));
  }
  seen(std::size_t{0}, dstate);
  return dstate;
}

}  // namespace tessera

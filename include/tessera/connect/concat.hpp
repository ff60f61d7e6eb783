#pragma once
/// The connector of MiniGPT-v2 (Chen et al. 2023, section 2): neighbouring vision tokens are joined into one token of
/// the language model, which makes its sequence shorter. Reference: MiniGPT-4 minigpt4/models/minigpt_v2.py,
/// encode_img.

#include "tessera/layer/linear.hpp"

namespace tessera {

/// One linear layer over `Group` vision tokens that follow each other, put side by side (MiniGPT-v2: 4, and its towers'
/// tokens are in raster order). Published names: `weight` [Out, Group · In], `bias` [Out].
template <int Group, dim In = dyn, dim Out = dyn, class Format = any_format>
struct ConcatProjector {
  static_assert(Group >= 1, "ConcatProjector: Group is the number of vision tokens that make one token, at least 1");
  static constexpr dim in_width = In, out_width = Out;
  using Project = Linear<In == dyn ? dyn : Group * In, Out, Format>;

  Project linear;

  ConcatProjector(int in, int out, bool bias = true, DType dtype = DType::f32) : linear(Group * in, out, bias, dtype) {}
  int in() const { return linear.in() / Group; }
  int out() const { return linear.out(); }
  /// Throws Error for a number of vision tokens that does not make whole groups.
  int tokens(int vision_tokens) const {
    if (vision_tokens % Group != 0) {
      fail("the vision encoder makes ", vision_tokens, " tokens, the connector joins groups of ", Group,
           ": expected a multiple");
    }
    return vision_tokens / Group;
  }

  template <class V, class... L>
  static void params(V&& v, L&... l) {
    Project::params(v, l.linear...);
  }

  template <Need N, class S>
  using Saved = LinearSaved<N, S>;

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, Saved<N, S>& saved) const {
    const Arena::Scope scope(c.arena);
    const Mat<S> joined = c.arena.template mat<S>(y.rows, linear.in(), kept_if(N.dw));
    each_member(c, x, joined, [](Mat<const S> rows, Mat<S> columns) { copy(rows, columns); });
    linear.template forward<N>(c, joined, y, saved);
  }

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx) const {
    const Arena::Scope scope(c.arena);
    const Mat<S> joined = c.arena.template zeros<S>(N.dx ? dy.rows : 0, linear.in());
    linear.template backward<N>(c, saved, dy, joined);
    if constexpr (N.dx) each_member(c, dx, joined, [](Mat<S> rows, Mat<S> columns) { accumulate<S>(columns, rows); });
  }

 private:
  /// Calls f(rows of `tokens`, columns of `joined`) for the first member of every group, for the second, …
  template <class T, class S, class F>
  void each_member(Run& c, Mat<T> tokens, Mat<S> joined, F&& f) const {
    if (c.arena.counting()) return;
    for (int i = 0; i < Group; ++i)
      f(Mat<T>{tokens.row(i), joined.rows, in(), Group * tokens.stride}, joined.cols_at(i * in(), in()));
  }
};

}  // namespace tessera

#pragma once
/// The projectors of LLaVA (Liu et al. 2023) and LLaVA-1.5 (Liu et al. 2024): every vision token becomes one token of
/// the language model. Reference: LLaVA llava/model/multimodal_projector/builder.py.

#include <string>
#include <vector>

#include "tessera/layer/activation.hpp"
#include "tessera/layer/linear.hpp"

namespace tessera {

/// One linear layer (LLaVA, MiniGPT-4).
template <dim In = dyn, dim Out = dyn, class Format = any_format>
struct LinearProjector : Linear<In, Out, Format> {
  using Linear<In, Out, Format>::Linear;
  int tokens(int vision_tokens) const { return vision_tokens; }
};

/// `Depth` linear layers with an activation between them; the first maps In to Out. Published names (transformers):
/// `linear_1`, `linear_2`, … `Depth` may be `dyn`.
template <dim Depth, class Function = Gelu, dim In = dyn, dim Out = dyn, class Format = any_format>
struct MLPProjector {
  static_assert(Depth == dyn || Depth >= 1, "MLPProjector: Depth is the number of linear layers, at least 1");
  static constexpr dim in_width = In, out_width = Out;
  using First = ActivatedLinear<In, Out, Format>;
  using Further = ActivatedLinear<Out, Out, Format>;

  First first;
  std::vector<Further> further;

  MLPProjector(int in, int out, bool bias = true, DType dtype = DType::f32) requires(Depth != dyn)
      : MLPProjector(in, out, bias, dtype, Depth) {}
  MLPProjector(int in, int out, bool bias, DType dtype, int depth) : first(in, out, act_of(1, depth), bias, dtype) {
    [[maybe_unused]] const Extent<Depth> checked(depth);
    for (int i = 2; i <= depth; ++i) further.emplace_back(out, out, act_of(i, depth), bias, dtype);
  }
  int in() const { return first.in(); }
  int out() const { return first.out(); }
  int tokens(int vision_tokens) const { return vision_tokens; }

  template <class V, class P, class... L>
  static void params(V&& v, P& p, L&... l) {
    v("linear_1", p.first, l.first...);
    for (std::size_t i = 0; i < p.further.size(); ++i)
      v("linear_" + std::to_string(i + 2), p.further[i], l.further[i]...);
  }

  template <Need N, class S>
  struct Saved {
    typename First::template Saved<N, S> first;
    [[no_unique_address]] SavedList<N, typename Further::template Saved<N.inner(), S>> further;
  };

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, Saved<N, S>& saved) const {
    const Arena::Scope scope(c.arena);
    saved.further.resize(further.size());
    const auto hidden_mat = [&] { return c.arena.template mat<S>(x.rows, out(), kept_if(N.any())); };
    Mat<S> hidden = further.empty() ? y : hidden_mat();
    first.template forward<N>(c, x, hidden, saved.first);
    for (std::size_t i = 0; i < further.size(); ++i) {
      const Mat<S> next = i + 1 == further.size() ? y : hidden_mat();
      further[i].template forward<N.inner()>(c, hidden, next, saved.further[i]);
      hidden = next;
    }
  }

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx) const {
    const Arena::Scope scope(c.arena);
    Mat<const S> output = dy;
    for (std::size_t i = further.size(); i-- > 0;) {
      const Mat<S> input = c.arena.template zeros<S>(dy.rows, out());
      further[i].template backward<N.inner()>(c, saved.further[i], output, input);
      output = input;
    }
    first.template backward<N>(c, saved.first, output, dx);
  }

 private:
  static constexpr Activation act_of(int layer, int depth) {
    return layer < depth ? Function::value : Activation::identity;
  }
};

}  // namespace tessera

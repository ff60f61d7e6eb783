#pragma once

#include <utility>

#include "tessera/layer/concept.hpp"

namespace tessera {

/// Slot 3 of a Vlm: `embed` turns ids into rows, `forward` runs rows through the decoder and appends them to a cache,
/// `head` turns hidden rows into logits. `in_width` is the width of a row, `vocab()` the number of logits. Besides what
/// is checked here it has, for a Session,
///
///     template <class V, class... L> static void params(V&& v, L&... l);
///     template <class S> Cache make_cache(int tokens) const;  // with the members of KvCache
///     template <class S> Cache counting_cache(int tokens) const;  // without memory
///     template <class Ctx> void embed(Ctx& c, std::span<const int> ids, Mat<S> y) const;
///     template <class Ctx> void forward(Ctx& c, Input<S> x, Mat<S> y, Cache& cache) const;
///     template <class Ctx> void head(Ctx& c, Input<S> hidden, Mat<S> logits) const;
///
/// and, for training (through),
///
///     Head lm_head;           // the layer behind `head`, which the loss runs on labelled rows alone
///     WeightView tie_head();  // a tied head becomes one weight with the table; nothing if it is not tied
///     template <Need N, class Ctx>
///     void forward(Ctx& c, Input<S> x, const Sequences& sequences, Mat<S> y, Saved<N, S>& saved) const;
///     template <Need N, class Ctx>
///     void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx, const Sequences& sequences) const;
///     template <class Ctx> void embed_backward(Ctx& c, std::span<const int> ids, Input<S> dy) const;
template <class D>
concept LanguageModel = requires(const D& model) {
  { D::in_width } -> std::convertible_to<dim>;
  { model.width() } -> std::same_as<int>;
  { model.vocab() } -> std::same_as<int>;
  {model.template make_cache<float>(16)};
};

/// What `make_cache<S>` of a language model makes.
template <class D, class S>
using CacheOf = decltype(std::declval<const D&>().template make_cache<S>(1));

}  // namespace tessera

#pragma once
/// Layers one after the other, as a type that reads like the network.

#include <cstddef>
#include <string>
#include <tuple>
#include <utility>

#include "tessera/layer/concept.hpp"

namespace tessera {

/// Fails to compile, with both numbers, where two neighbours of a Sequential do not fit.
template <dim Produced, dim Expected>
struct layer_to_layer {
  static_assert(same_extent(Produced, Expected),
                "Sequential: a layer's output width is not the next layer's input width; see <Produced, Expected>");
};

/// y = last(… second(first(x))). Parameters are named by position: `0.weight`, `2.weight`, … as torch.nn.Sequential does.
template <class... L>
struct Sequential {
  static_assert(sizeof...(L) > 0, "Sequential: at least one layer is needed");
  static_assert((is_a_layer<L>::value && ...));
  static constexpr std::size_t size = sizeof...(L);
  template <std::size_t I>
  using Nth = std::tuple_element_t<I, std::tuple<L...>>;
  static constexpr dim in_width = Nth<0>::in_width, out_width = Nth<size - 1>::out_width;
  static_assert([]<std::size_t... I>(std::index_sequence<I...>) {
    return ((sizeof(layer_to_layer<Nth<I>::out_width, Nth<I + 1>::in_width>) != 0) && ...);
  }(std::make_index_sequence<size - 1>{}));

  std::tuple<L...> layers;

  explicit Sequential(L... l) : layers(std::move(l)...) {}
  int out() const { return std::get<size - 1>(layers).out(); }

  template <class V, class... S>
  static void params(V&& v, S&... s) {
    each([&]<std::size_t I>() { v(std::to_string(I), std::get<I>(s.layers)...); });
  }

  template <Need N, class S>
  using Saved = std::tuple<typename L::template Saved<N, S>...>;

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, Saved<N, S>& saved) const {
    TemporaryScope<N> scope(c.arena);
    Mat<const S> input = x;
    each([&]<std::size_t I>() {
      const auto& layer = std::get<I>(layers);
      const Mat<S> output = I + 1 == size ? y : c.arena.template mat<S>(x.rows, layer.out());
      layer.template forward<N>(c, input, output, std::get<I>(saved));
      input = output;
    });
  }

 private:
  template <class F>
  static void each(F&& f) {
    [&]<std::size_t... I>(std::index_sequence<I...>) { (f.template operator()<I>(), ...); }(std::make_index_sequence<size>{});
  }
};

}  // namespace tessera

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

/// y = last(… second(first(x))). Parameters are named by position: `0.weight`, `2.weight`, … as torch.nn.Sequential
/// does.
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

  static constexpr bool trains = (tessera::trains<L> || ...);

  std::tuple<L...> layers;

  explicit Sequential(L... l) : layers(std::move(l)...) {}
  int out() const { return std::get<size - 1>(layers).out(); }

  template <class V, class... S>
  static void params(V&& v, S&... s) {
    each([&]<std::size_t I>() { v(std::to_string(I), std::get<I>(s.layers)...); });
  }

 private:
  /// What layer I owes: the gradient of its input only if something before it trains.
  template <Need N, std::size_t I>
  static constexpr Need need = [] {
    constexpr bool kinds[] = {tessera::trains<L>...};
    bool before = false;
    for (std::size_t i = 0; i < I; ++i) before = before || kinds[i];
    return Need{N.dx || (N.dw && before), N.dw && kinds[I]};
  }();
  template <Need N, class S, class Indices>
  struct SavedOf;
  template <Need N, class S, std::size_t... I>
  struct SavedOf<N, S, std::index_sequence<I...>> {
    std::tuple<typename Nth<I>::template Saved<need<N, I>, S>...> layers;
  };

 public:
  template <Need N, class S>
  struct Saved : SavedOf<N, S, std::index_sequence_for<L...>> {};

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, Saved<N, S>& saved) const {
    const Arena::Scope scope(c.arena);
    Mat<const S> input = x;
    each([&]<std::size_t I>() {
      const auto& layer = std::get<I>(layers);
      const Mat<S> output = I + 1 == size ? y : c.arena.template mat<S>(x.rows, layer.out(), kept_if(N.any()));
      layer.template forward<need<N, I>>(c, input, output, std::get<I>(saved.layers));
      input = output;
    });
  }

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx) const {
    const Arena::Scope scope(c.arena);
    Mat<const S> output = dy;
    each([&]<std::size_t FromEnd>() {
      constexpr std::size_t I = size - 1 - FromEnd;
      const auto& layer = std::get<I>(layers);
      Mat<S> input = dx;
      if constexpr (I > 0 && need<N, I>.dx) input = c.arena.template zeros<S>(dy.rows, std::get<I - 1>(layers).out());
      if constexpr (need<N, I>.any()) layer.template backward<need<N, I>>(c, std::get<I>(saved.layers), output, input);
      output = input;
    });
  }

 private:
  template <class F>
  static void each(F&& f) {
    [&]<std::size_t... I>(std::index_sequence<I...>) { (f.template operator()<I>(), ...); }
    (std::make_index_sequence<size>{});
  }
};

}  // namespace tessera

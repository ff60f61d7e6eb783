#pragma once
/// The walk over a model's parameters. Every layer lists them once:
///
///     template <class V, class... L> static void params(V&& v, L&... l) { v("weight", l.weight...); }
///
/// `l...` is one layer (load, save, count) or several of the same structure side by side (copy, compare, value with
/// gradient and moments). A leaf is a Weight; anything else is descended into, with its name pushed on the path. A
/// std::vector of layers is walked in order, its indices are path components.

#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tessera/core/weight.hpp"

namespace tessera {

namespace detail {

template <class T>
inline constexpr bool is_vector_of_layers = false;
template <class T, class A>
inline constexpr bool is_vector_of_layers<std::vector<T, A>> = true;

/// A type says `static constexpr bool trains = false` where its parameters do not.
template <class L>
constexpr bool trains_of() {
  if constexpr (requires { L::trains; }) return L::trains;
  return true;
}

template <class Visit, bool WithFrozen>
class ParamWalk {
 public:
  explicit ParamWalk(Visit& visit) : visit_(visit) {}

  template <class L, class... Ls>
  void operator()(std::string_view name, L& first, Ls&... others) {
    const std::size_t length = path_.size();
    if (!name.empty()) {
      if (length != 0) path_ += '.';
      path_ += name;
    }
    descend(first, others...);
    path_.resize(length);
  }

 private:
  template <class L, class... Ls>
  void descend(L& first, Ls&... others) {
    using Layer = std::remove_cvref_t<L>;
    if constexpr (!WithFrozen && !trains_of<Layer>()) {
      return;
    } else if constexpr (is_vector_of_layers<Layer>) {
      for (std::size_t i = 0; i < first.size(); ++i) (*this)(std::to_string(i), first[i], others[i]...);
    } else if constexpr (IsWeight<Layer>) {
      visit_(std::as_const(path_), first, others...);
    } else {
      Layer::params(*this, first, others...);
    }
  }

  Visit& visit_;
  std::string path_;
};

}  // namespace detail

/// Calls `visit(name, weight...)` for every parameter of one layer, or of several of the same type side by side.
template <class Visit, class... L>
void for_each_param(Visit&& visit, L&... layers) {
  detail::ParamWalk<std::remove_reference_t<Visit>, true> walk(visit);
  walk("", layers...);
}

/// The same without the parameters of Frozen parts.
template <class Visit, class... L>
void for_each_trainable_param(Visit&& visit, L&... layers) {
  detail::ParamWalk<std::remove_reference_t<Visit>, false> walk(visit);
  walk("", layers...);
}

/// Whether a layer has weights that train (as far as its type says).
template <class L>
inline constexpr bool trains = detail::trains_of<L>();

template <class L>
std::size_t count_params(const L& layer) {
  std::size_t count = 0;
  for_each_param([&](const std::string&, const auto& weight) { count += weight.size(); }, layer);
  return count;
}

}  // namespace tessera

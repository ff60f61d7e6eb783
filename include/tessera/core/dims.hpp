#pragma once
/// Dimensions that are known at compile time or at run time, under one notation.
///
/// A config is any struct: `static constexpr int width = 1024;` is fixed by the type, a plain `int width;` is read from
/// config.json. `ext<&Config::width>` tells them apart: a pointer to member means "known at run time".

#include <type_traits>

#include "tessera/core/error.hpp"

namespace tessera {

using dim = int;
inline constexpr dim dyn = -1;  // printed in compiler errors, so it must be readable

template <auto Field>
consteval dim extent_of() {
  if constexpr (std::is_member_object_pointer_v<decltype(Field)>) {
    return dyn;
  } else {
    return static_cast<dim>(*Field);
  }
}

/// The value of a config field if the type fixes it, else `dyn`.
template <auto Field>
inline constexpr dim ext = extent_of<Field>();

/// Two dimensions can be equal: at least one is only known at run time, or they are the same.
constexpr bool same_extent(dim a, dim b) { return a == dyn || b == dyn || a == b; }

/// Product of dimensions; unknown as soon as one factor is.
constexpr dim product(dim a, dim b) { return a == dyn || b == dyn ? dyn : a * b; }

/// A dimension as a member: takes no space when static, one int when dynamic. A static one rejects any other value.
template <dim E>
struct Extent {
  constexpr Extent(int value) {
    if (value != E) fail("the type fixes a dimension to ", E, ", the value given is ", value);
  }
  static constexpr int value() { return E; }
};

template <>
struct Extent<dyn> {
  constexpr Extent(int value) : value_(value) {
    if (value < 0) fail("a dimension must not be negative, got ", value);
  }
  constexpr int value() const { return value_; }

 private:
  int value_;
};

}  // namespace tessera

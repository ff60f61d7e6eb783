#pragma once
/// What a backward pass will want from a layer, as a template value.

#include <cstddef>
#include <vector>

namespace tessera {

/// `dx`: the gradient of the input is wanted; `dw`: the gradients of the weights are. A layer's `Saved<Need>` holds
/// exactly what its backward reads, so it is empty for `inference`.
struct Need {
  bool dx = false;
  bool dw = false;
  constexpr bool any() const { return dx || dw; }
  /// What a part asks of its own parts that come after its first: whatever is wanted of the part lies before them.
  constexpr Need inner() const { return {any(), dw}; }
};

inline constexpr Need inference{};

/// An empty stand-in for a member that is not needed.
struct None {
  template <class... Args>
  constexpr None(Args&&...) {}
};

template <bool Wanted, class T>
struct SavedIf {
  using type = None;
};
template <class T>
struct SavedIf<true, T> {
  using type = T;
};
/// T where it is needed, an empty type elsewhere (use with [[no_unique_address]]).
template <bool Wanted, class T>
using saved_if = typename SavedIf<Wanted, T>::type;

/// What a row of equal layers saves: one `SavedOne` each, nothing at all in inference.
template <Need N, class SavedOne>
class SavedList {
 public:
  void resize(std::size_t count) { list_.resize(count); }
  SavedOne& operator[](std::size_t i) { return list_[i]; }
  const SavedOne& operator[](std::size_t i) const { return list_[i]; }

 private:
  std::vector<SavedOne> list_;
};
template <Need N, class SavedOne>
requires(!N.any()) class SavedList<N, SavedOne> {
 public:
  void resize(std::size_t) {}
  SavedOne& operator[](std::size_t) { return nothing_; }

 private:
  [[no_unique_address]] SavedOne nothing_;
};

}  // namespace tessera

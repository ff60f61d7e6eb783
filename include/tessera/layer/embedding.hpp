#pragma once

#include <span>

#include "tessera/format/float_formats.hpp"
#include "tessera/layer/concept.hpp"
#include "tessera/ops/concept.hpp"

namespace tessera {

/// Row ids[i] of a table [Entries, Width] becomes row i of y. Published name: `weight`.
template <dim Entries = dyn, dim Width = dyn, class Format = any_format>
struct Embedding {
  static constexpr dim out_width = Width;

  Table<Format, Entries, Width> weight;

  Embedding(int entries, int width, DType dtype = DType::f32) : weight(entries, width, dtype) {}
  int entries() const { return weight.rows(); }
  int out() const { return weight.cols(); }

  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v("weight", l.weight...);
  }

  /// ids: each in [0, entries()). y: [ids.size(), Width].
  template <class Ctx>
  void forward(Ctx& c, std::span<const int> ids, Mat<typename Ctx::Scalar> y) const {
    c.ops.lookup(c, ids, weight, y);
  }

  /// Adds row i of dy to row ids[i] of the table's gradient.
  template <class Ctx>
  void backward(Ctx& c, std::span<const int> ids, Input<typename Ctx::Scalar> dy) const {
    c.ops.lookup_dw(c, ids, dy, c.gradients(weight));
  }
};

}  // namespace tessera

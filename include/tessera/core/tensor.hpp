#pragma once
/// Non-owning view of a row-major matrix. Images of tokens, hidden states, logits: everything between layers is one.

#include <cassert>
#include <cstddef>
#include <type_traits>

namespace tessera {

/// `rows` × `cols` elements; row r starts at `data + r * stride` (stride in elements, at least cols).
template <class T>
struct Mat {
  T* data = nullptr;
  int rows = 0;
  int cols = 0;
  std::ptrdiff_t stride = 0;

  T* row(int r) const { return data + r * stride; }
  T& operator()(int r, int c) const { return data[r * stride + c]; }

  /// Rows [first, first + count).
  Mat rows_at(int first, int count) const {
    assert(first >= 0 && count >= 0 && first + count <= rows);
    return {row(first), count, cols, stride};
  }
  /// Columns [first, first + count).
  Mat cols_at(int first, int count) const {
    assert(first >= 0 && count >= 0 && first + count <= cols);
    return {data + first, rows, count, stride};
  }

  operator Mat<const T>() const requires(!std::is_const_v<T>) { return {data, rows, cols, stride}; }
};

/// A read-only matrix as a function parameter: any Mat converts to it, because it takes no part in template argument
/// deduction.
template <class T>
using Input = std::type_identity_t<Mat<const T>>;

/// A dense view: rows follow each other without a gap.
template <class T>
Mat<T> dense(T* data, int rows, int cols) {
  return {data, rows, cols, cols};
}

/// Copies the elements of `from` to `to`; the shapes are equal.
template <class T>
void copy(Input<T> from, Mat<T> to) {
  assert(from.rows == to.rows && from.cols == to.cols);
  for (int r = 0; r < from.rows; ++r) {
    const T* source = from.row(r);
    T* target = to.row(r);
    for (int c = 0; c < from.cols; ++c) target[c] = source[c];
  }
}

/// Adds the elements of `from` to those of `to`; the shapes are equal.
template <class T>
void accumulate(Input<T> from, Mat<T> to) {
  assert(from.rows == to.rows && from.cols == to.cols);
  for (int r = 0; r < from.rows; ++r) {
    const T* source = from.row(r);
    T* target = to.row(r);
    for (int c = 0; c < from.cols; ++c) target[c] += source[c];
  }
}

template <class T>
void fill(Mat<T> m, T value) {
  for (int r = 0; r < m.rows; ++r) {
    for (int c = 0; c < m.cols; ++c) m(r, c) = value;
  }
}

}  // namespace tessera

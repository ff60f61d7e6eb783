#pragma once
/// Comparing computed matrices: for the tests of this library and for those of layers and backends built on it.

#include <algorithm>
#include <cmath>
#include <limits>

#include "tessera/core/tensor.hpp"

namespace tessera::testing {

/// The unit roundoff of float: the largest relative error of one rounding.
inline constexpr double float_roundoff = 0x1p-24;

/// The larger of two errors. NaN, which std::max drops, is infinitely large.
inline double larger_error(double a, double b) {
  return std::isnan(a) || std::isnan(b) ? std::numeric_limits<double>::infinity() : std::max(a, b);
}

/// sqrt(Σ x²), in double.
template <class S>
double norm(Mat<S> x) {
  double squares = 0;
  for (int r = 0; r < x.rows; ++r) {
    for (int c = 0; c < x.cols; ++c) squares += static_cast<double>(x(r, c)) * static_cast<double>(x(r, c));
  }
  return std::sqrt(squares);
}

/// ‖actual − expected‖ / ‖expected‖ in the norm above. Infinite where the shapes differ or an element of the difference
/// is not a number; 0 for equal matrices, also for zeros.
template <class A, class E>
double relative_error(Mat<A> actual, Mat<E> expected) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (actual.rows != expected.rows || actual.cols != expected.cols) return infinity;
  double squares = 0;
  for (int r = 0; r < actual.rows; ++r) {
    for (int c = 0; c < actual.cols; ++c) {
      const double difference = static_cast<double>(actual(r, c)) - static_cast<double>(expected(r, c));
      squares += difference * difference;
    }
  }
  if (squares == 0) return 0;
  return std::isnan(squares) ? infinity : std::sqrt(squares) / norm(expected);
}

}  // namespace tessera::testing

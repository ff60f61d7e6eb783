#pragma once
/// The loss that trains CLIP towers.

#include <algorithm>
#include <cmath>

#include "tessera/core/arena.hpp"
#include "tessera/core/tensor.hpp"

namespace tessera::train {

/// Row i of the images and row i of the texts belong together: the mean cross entropy of finding the partner among all,
/// by cosine similarity times exp(log_scale), from either side (Radford et al. 2021, figure 3).
template <class S>
class Contrastive {
 public:
  /// images, texts: [pairs, width]. Returns the loss; adds its gradient to dimages, dtexts and dlog_scale.
  static S loss(Arena& arena, Input<S> images, Input<S> texts, S log_scale, Mat<S> dimages, Mat<S> dtexts,
                S& dlog_scale) {
    const Arena::Scope scope(arena);
    const int pairs = images.rows;
    const Mat<S> image_units = arena.mat<S>(pairs, images.cols), text_units = arena.mat<S>(pairs, texts.cols),
                 scores = arena.mat<S>(pairs, pairs), dscores = arena.zeros<S>(pairs, pairs);
    if (arena.counting()) return S(0);
    normalise(images, image_units);
    normalise(texts, text_units);
    const S scale = std::exp(log_scale);
    for (int i = 0; i < pairs; ++i) {
      for (int j = 0; j < pairs; ++j) scores(i, j) = scale * dot(image_units.row(i), text_units.row(j), images.cols);
    }
    S loss = 0;
    for (int i = 0; i < pairs; ++i) {
      loss += find_partner(
          i, pairs, [&](int j) -> S& { return scores(i, j); }, [&](int j) -> S& { return dscores(i, j); });
      loss += find_partner(
          i, pairs, [&](int j) -> S& { return scores(j, i); }, [&](int j) -> S& { return dscores(j, i); });
    }
    const S share = S(1) / S(2 * pairs);
    for (int i = 0; i < pairs; ++i) {
      for (int j = 0; j < pairs; ++j) dlog_scale += share * dscores(i, j) * scores(i, j);
    }
    for (int i = 0; i < pairs; ++i) {
      add_gradient(
          images.row(i), image_units.row(i), images.cols, pairs, [&](int j) { return share * scale * dscores(i, j); },
          text_units, dimages.row(i));
      add_gradient(
          texts.row(i), text_units.row(i), texts.cols, pairs, [&](int j) { return share * scale * dscores(j, i); },
          image_units, dtexts.row(i));
    }
    return loss * share;
  }

 private:
  static S dot(const S* a, const S* b, int width) {
    S sum = 0;
    for (int k = 0; k < width; ++k) sum += a[k] * b[k];
    return sum;
  }
  static void normalise(Mat<const S> x, Mat<S> units) {
    for (int i = 0; i < x.rows; ++i) {
      const S inverse = S(1) / std::sqrt(dot(x.row(i), x.row(i), x.cols));
      for (int k = 0; k < x.cols; ++k) units(i, k) = x(i, k) * inverse;
    }
  }

  /// −log softmax(score)[right], and its gradient.
  template <class Score, class Gradient>
  static S find_partner(int right, int pairs, Score&& score, Gradient&& gradient) {
    S largest = score(0), sum = 0;
    for (int j = 1; j < pairs; ++j) largest = std::max(largest, score(j));
    for (int j = 0; j < pairs; ++j) sum += std::exp(score(j) - largest);
    for (int j = 0; j < pairs; ++j) gradient(j) += std::exp(score(j) - largest) / sum - (j == right ? S(1) : S(0));
    return largest + std::log(sum) - score(right);
  }

  /// dx += the gradient of x through its unit vector u: (g − u (u · g)) / ‖x‖, g = Σ weight(j) · others[j].
  template <class Weight>
  static void add_gradient(const S* x, const S* unit, int width, int pairs, Weight&& weight, Mat<const S> others,
                           S* dx) {
    const S inverse = S(1) / std::sqrt(dot(x, x, width));
    S along = 0;
    for (int j = 0; j < pairs; ++j) along += weight(j) * dot(others.row(j), unit, width);
    for (int k = 0; k < width; ++k) {
      S g = 0;
      for (int j = 0; j < pairs; ++j) g += weight(j) * others(j, k);
      dx[k] += (g - unit[k] * along) * inverse;
    }
  }
};

}  // namespace tessera::train

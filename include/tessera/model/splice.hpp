#pragma once
/// How vision tokens enter the language model's sequence.

#include <algorithm>
#include <concepts>
#include <span>

#include "tessera/core/context.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/language/concept.hpp"

namespace tessera {

/// How a Vlm's slots meet: `embed` makes the language model's rows from ids and image rows, `count` tells how many
/// image rows ids take, `check` refuses ids that do not fit, and for training `embed_backward` splits a gradient again.
/// Both are called in counting passes too (see Arena), where they must touch no rows. AtImageToken shows the
/// signatures.
template <class T>
concept Splice = requires(const T& splice, std::span<const int> ids) {
  { splice.count(ids) } -> std::same_as<int>;
  {splice.check(ids, 32000, 576)};
};

}  // namespace tessera

namespace tessera::splice {

/// LLaVA: each occurrence of the image token is replaced by the next row of image features, in order. Nothing is added
/// between text and image. The ids already repeat the image token once for each row of an image.
struct AtImageToken {
  int image_token = -200;

  bool is_image(int id) const { return id == image_token; }
  int count(std::span<const int> ids) const {
    return static_cast<int>(std::count(ids.begin(), ids.end(), image_token));
  }

  /// Throws Error unless ids hold exactly `image_rows` image tokens and every other id is in the vocabulary.
  void check(std::span<const int> ids, int vocab, int image_rows) const {
    for (const int id : ids) {
      if (!is_image(id) && (id < 0 || id >= vocab)) fail("token id ", id, " is outside the vocabulary of ", vocab);
    }
    if (count(ids) != image_rows) {
      fail("the prompt has ", count(ids), " image tokens, but the images given make ", image_rows, " rows");
    }
  }

  /// y: [ids.size(), width]. `image_rows` has one row for each image token in ids.
  template <LanguageModel Language, class Ctx, class S = typename Ctx::Scalar>
  void embed(Ctx& c, const Language& language, std::span<const int> ids, Input<S> image_rows, Mat<S> y) const {
    each_run(ids, [&](int begin, int count, int image_row) {
      if (image_row < 0)
        return language.embed(c, ids.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count)),
                              y.rows_at(begin, count));
      if (!c.arena.counting()) copy(image_rows.rows_at(image_row, count), y.rows_at(begin, count));
    });
  }

  /// Adds the rows of dy at image tokens to dimage_rows if `ImageRows`, the others to the gradient of the table of
  /// embeddings if `Table`.
  template <bool ImageRows, bool Table, LanguageModel Language, class Ctx, class S = typename Ctx::Scalar>
  void embed_backward(Ctx& c, const Language& language, std::span<const int> ids, Input<S> dy,
                      Mat<S> dimage_rows) const {
    each_run(ids, [&](int begin, int count, int image_row) {
      const Mat<const S> rows = dy.rows_at(begin, count);
      if constexpr (ImageRows) {
        if (image_row >= 0 && !c.arena.counting()) accumulate(rows, dimage_rows.rows_at(image_row, count));
      }
      if constexpr (Table) {
        if (image_row < 0)
          language.embed_backward(c, ids.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count)),
                                  rows);
      }
    });
  }

 private:
  /// Calls f(begin, count, first image row) for each run of image tokens, and with −1 for each run of others.
  template <class F>
  void each_run(std::span<const int> ids, F&& f) const {
    int image_row = 0;
    for (std::size_t begin = 0, end = 0; begin < ids.size(); begin = end) {
      const bool image = is_image(ids[begin]);
      while (end < ids.size() && is_image(ids[end]) == image) ++end;
      const int count = static_cast<int>(end - begin);
      f(static_cast<int>(begin), count, image ? image_row : -1);
      if (image) image_row += count;
    }
  }
};

}  // namespace tessera::splice

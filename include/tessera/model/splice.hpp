#pragma once
/// How vision tokens enter the language model's sequence.

#include <algorithm>
#include <span>

#include "tessera/core/context.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/language/concept.hpp"

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
    int next_image_row = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const Mat<S> row = y.rows_at(static_cast<int>(i), 1);
      if (is_image(ids[i])) {
        copy(image_rows.rows_at(next_image_row++, 1), row);
      } else {
        language.embed(c, ids.subspan(i, 1), row);
      }
    }
  }
};

}  // namespace tessera::splice

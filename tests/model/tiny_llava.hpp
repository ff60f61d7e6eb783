#pragma once
// A LLaVA-1.5 with random weights, small enough for every test.

#include <vector>

#include "tessera/model/initialize.hpp"
#include "tessera/model/llava.hpp"

namespace tessera::test {

inline constexpr ClipVisionConfig tiny_vision{.image_size = 28, .patch_size = 7, .width = 24, .heads = 3, .depth = 3, .inner = 40};

inline LlamaConfig tiny_text() {
  return {.vocab = 101, .width = 40, .inner = 72, .depth = 2, .heads = 4, .kv_heads = 2, .norm_eps = 1e-5f, .max_positions = 256};
}

template <class OpsT>
struct TinyLlava {
  OpsT ops;
  WeightStore store;
  Llava15<> model;

  explicit TinyLlava(DType dtype = DType::f32, OpsT backend = OpsT{})
      : ops(std::move(backend)),
        model(ViT<>(tiny_vision, {}, dtype), MLPProjector<2>(tiny_vision.width, 40, true, dtype), Llama<>(tiny_text(), dtype),
              splice::AtImageToken{-200}) {
    initialize(model, ops, store, 7);
  }

  /// BOS, then the rows of some images, then a few words.
  std::vector<int> prompt(int images) const {
    std::vector<int> ids{1};
    ids.insert(ids.end(), static_cast<std::size_t>(images * model.image_tokens()), model.splice.image_token);
    ids.insert(ids.end(), {17, 4, 99, 23, 8});
    return ids;
  }
};

}  // namespace tessera::test

#pragma once
// A LLaVA-1.5 with random weights, small enough for every test.

#include <cmath>
#include <cstddef>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/params.hpp"
#include "tessera/core/weight_store.hpp"
#include "tessera/format/float_formats.hpp"
#include "tessera/model/llava.hpp"

namespace tessera::test {

/// Random numbers for all parameters, the same for every backend; norm gains are about 1. A backend that keeps copies
/// sees a matrix in bind() alone.
template <class Model, class OpsT>
void fill_randomly(Model& model, OpsT& ops, WeightStore& store) {
  std::mt19937 generator(1);
  for_each_param(
      [&]<class W>(const std::string& name, W& weight) {
        const bool is_vector = W::use == WeightUse::vector, is_gain = is_vector && name.ends_with("weight");
        const float deviation = is_vector ? 0.1f : 1 / std::sqrt(static_cast<float>(weight.cols()));
        std::normal_distribution<float> numbers(is_gain ? 1.0f : 0.0f, deviation);
        std::byte* const bytes = store.allocate(weight.bytes());
        with_format(weight.dtype(), [&]<class Format>(Format) {
          auto* const stored = reinterpret_cast<typename Format::storage*>(bytes);
          for (std::size_t i = 0; i < weight.size(); ++i) stored[i] = Format::encode(numbers(generator));
        });
        if constexpr (OpsT::keeps_copies && W::use == WeightUse::matrix) {
          weight.attach(nullptr);
          ops.bind(weight.view(), weight.dtype(), bytes);
        } else {
          weight.attach(bytes);
        }
      },
      model);
}

/// Its sizes fill no vector register evenly, and its products are large enough to be cut into pieces for threads.
template <class OpsT>
struct TinyLlava {
  OpsT ops;
  WeightStore store;
  Llava15<> model;

  explicit TinyLlava(DType dtype = DType::f32, OpsT backend = OpsT{})
      : ops(std::move(backend)),
        model(
            ViT<>({.image_size = 72, .patch_size = 12, .width = 100, .heads = 5, .depth = 3, .inner = 210}, {}, dtype),
            MLPProjector<2>(100, 130, true, dtype),
            Llama<>({.vocab = 300, .width = 130, .inner = 270, .depth = 3, .heads = 6, .kv_heads = 2, .head_dim = 22},
                    dtype),
            splice::AtImageToken{-200}) {
    fill_randomly(model, ops, store);
  }

  /// BOS, then the rows of some images (36 each), then eleven words.
  std::vector<int> prompt(int images) const {
    std::vector<int> ids{1};
    ids.insert(ids.end(), static_cast<std::size_t>(images * model.image_tokens()), model.splice.image_token);
    ids.insert(ids.end(), {3, 14, 159, 26, 53, 58, 97, 93, 238, 4, 62});
    return ids;
  }
};

}  // namespace tessera::test

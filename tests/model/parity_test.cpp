// One model through every backend.

#include <cmath>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/weight_store.hpp"
#include "tessera/format/float_formats.hpp"
#include "tessera/hub/llava.hpp"
#include "tessera/io/safetensors.hpp"
#include "tessera/model/llava.hpp"
#include "tessera/model/session.hpp"
#include "tessera/ops/eigen.hpp"
#include "tessera/ops/native.hpp"
#include "tessera/ops/onednn.hpp"
#include "tessera/ops/reference.hpp"
#include "tessera/testing/approx.hpp"

#include "catch.hpp"

using namespace tessera;

namespace {

constexpr int image_token = 299;

/// Large enough that its products are cut into pieces for threads, with sizes that fill no vector register evenly.
Llava15<> tiny_llava(DType dtype) {
  ClipVisionConfig vision{.image_size = 72, .patch_size = 12, .width = 100, .heads = 5, .depth = 3, .inner = 210};
  LlamaConfig text{.vocab = 300, .width = 130, .inner = 270, .depth = 3, .heads = 6, .kv_heads = 2, .head_dim = 22};
  return {ViT<>(vision, {}, dtype), MLPProjector<2>(100, 130, true, dtype), Llama<>(text, dtype), {image_token}};
}

/// A model with random weights, the same for every backend, and the backend that it is bound to.
template <class OpsT>
struct RandomModel {
  OpsT ops;
  Llava15<> model;
  WeightStore store;

  RandomModel(OpsT backend, DType dtype) : ops(std::move(backend)), model(tiny_llava(dtype)) {
    std::mt19937 generator(1);
    for_each_param(
        [&]<class W>(const std::string& name, W& weight) {
          const bool is_vector = W::use == WeightUse::vector, is_gain = is_vector && name.ends_with("weight");
          std::normal_distribution<float> numbers(is_gain ? 1.0f : 0.0f,
                                                  is_vector ? 0.1f : 1 / std::sqrt(static_cast<float>(weight.cols())));
          std::byte* const bytes = store.allocate(weight.bytes());
          for (std::size_t i = 0; i < weight.size(); ++i) {
            with_format(weight.dtype(), [&]<class Format>(Format) {
              const typename Format::storage stored = Format::encode(numbers(generator));
              std::memcpy(bytes + i * sizeof stored, &stored, sizeof stored);
            });
          }
          if constexpr (OpsT::keeps_copies && W::use == WeightUse::matrix) {
            weight.attach(nullptr);
            ops.bind(weight.view(), weight.dtype(), bytes);
          } else {
            weight.attach(bytes);
          }
        },
        model);
  }
};

template <class S>
struct Outputs {
  std::vector<S> hidden, features, logits;  // logits of every prompt token
  bool operator==(const Outputs&) const = default;
};

std::vector<float> random_pixels(std::size_t count) {
  std::mt19937 generator(2);
  std::normal_distribution<float> normal;
  std::vector<float> pixels(count);
  for (float& pixel : pixels) pixel = normal(generator);
  return pixels;
}

/// A start token, an image, and a few words.
std::vector<int> prompt(int image_tokens) {
  std::vector<int> ids(static_cast<std::size_t>(image_tokens), image_token);
  ids.insert(ids.begin(), {1, 17, 45});
  ids.insert(ids.end(), {3, 14, 159, 26, 53, 58, 97, 93, 238, 4, 62});
  return ids;
}

template <class S>
std::vector<S> values(Mat<const S> m) {
  std::vector<S> result(static_cast<std::size_t>(m.rows) * m.cols);
  copy<S>(m, dense(result.data(), m.rows, m.cols));
  return result;
}

/// The outputs for one image and a prompt; the last `steps` ids are fed one at a time.
template <class OpsT, class S = typename OpsT::Scalar>
Outputs<S> outputs(const OpsT& ops, const Llava15<>& model, std::span<const float> pixels, std::span<const int> ids,
                   int threads, int prefill_chunk, std::size_t steps = 0) {
  const int tokens = static_cast<int>(ids.size()), vocab = model.language.vocab();
  Session session(model, ops, {.images = 1, .tokens = tokens, .prefill_chunk = prefill_chunk}, threads);
  session.encode(pixels);
  Outputs<S> result{values(session.vision_hidden()), values(session.image_features()), {}};
  result.logits.resize(ids.size() * static_cast<std::size_t>(vocab));
  const std::size_t prefilled = ids.size() - steps;
  session.prefill(ids.first(prefilled), {}, dense(result.logits.data(), tokens - static_cast<int>(steps), vocab));
  for (std::size_t i = prefilled; i < ids.size(); ++i) {
    const std::span<const S> logits = session.step(ids[i]);
    std::copy(logits.begin(), logits.end(), result.logits.begin() + static_cast<std::ptrdiff_t>(i) * vocab);
  }
  return result;
}

template <class OpsT>
auto outputs(const RandomModel<OpsT>& m, int threads, int prefill_chunk, std::size_t steps = 0) {
  return outputs(m.ops, m.model, random_pixels(m.model.vision.pixels()), prompt(m.model.image_tokens()), threads,
                 prefill_chunk, steps);
}

/// What rounding may do to the outputs: u √k for each sum of k products (the constant of Higham and Mary 2019, "A new
/// approach to probabilistic rounding error analysis"), added up over all matrices as if each were on the only path.
double rounding_bound(const Llava15<>& model) {
  double sum = 0;
  for_each_param(
      [&]<class W>(const std::string&, const W& weight) {
        if (W::use == WeightUse::matrix) sum += std::sqrt(weight.cols());
      },
      model);
  return testing::float_roundoff * sum;
}

template <class A, class E>
double relative_error(const std::vector<A>& actual, const std::vector<E>& expected) {
  return testing::relative_error(dense(actual.data(), 1, static_cast<int>(actual.size())),
                                 dense(expected.data(), 1, static_cast<int>(expected.size())));
}

/// Calls `check(ops)` with a fresh object of every backend.
template <class Check>
void for_every_backend(Check&& check) {
  check(ops::Reference<float>{});
  for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512}) {
    if (isa <= detected_isa()) check(ops::Native(isa));
  }
  check(ops::OneDnn{});
  check(ops::EigenOps{});
}

}  // namespace

TEST_CASE("every backend computes the model of the reference in double, up to rounding") {
  const DType dtype = GENERATE(DType::f32, DType::bf16, DType::f16);
  const auto expected = outputs(RandomModel(ops::Reference<double>{}, dtype), 1, 512);
  for_every_backend([&]<class OpsT>(OpsT backend) {
    const RandomModel<OpsT> m(std::move(backend), dtype);
    const auto actual = outputs(m, 2, 20, 3);
    const double bound = rounding_bound(m.model);
    INFO(OpsT::name << ", " << name_of(dtype));
    CHECK(relative_error(actual.hidden, expected.hidden) <= bound);
    CHECK(relative_error(actual.features, expected.features) <= bound);
    CHECK(relative_error(actual.logits, expected.logits) <= bound);
  });
}

TEST_CASE("the bits of the native backend depend neither on threads nor on how a prompt is cut") {
  const RandomModel m(ops::Native{}, DType::bf16);
  const auto expected = outputs(m, 1, 512);
  for (const int threads : {1, 2, 3}) {
    for (const int prefill_chunk : {1, 7, 512}) {
      INFO(threads << " threads, chunks of " << prefill_chunk);
      CHECK(outputs(m, threads, prefill_chunk) == expected);
    }
  }
  SECTION("decoding token by token with the cache is the same computation") {
    CHECK(outputs(m, 2, 512, 9) == expected);
  }
}

TEST_CASE("every backend computes the logits of transformers from a published folder") {
  const std::filesystem::path folder = std::filesystem::path(TESSERA_TEST_DATA) / "models/llava15_hub_f32";
  const io::SafetensorsFile file(folder / "expected.safetensors");
  const auto numbers = [&]<class T>(const char* name, T) {
    const io::TensorView* tensor = file.find(name);
    REQUIRE(tensor != nullptr);
    std::vector<T> result(tensor->data.size() / sizeof(T));
    std::memcpy(result.data(), tensor->data.data(), tensor->data.size());
    return result;
  };
  const auto long_ids = numbers("input_ids", std::int64_t{});
  const std::vector<int> ids(long_ids.begin(), long_ids.end());
  const auto pixels = numbers("pixel_values", float{});
  const auto config = hub::read_llava_config(folder / "model");

  for_every_backend([&]<class OpsT>(OpsT backend) {
    WeightStore store;
    const auto model = hub::load_llava<Llava15<>>(folder / "model", config, hub::SlotFormats{}, backend, store);
    const auto actual = outputs(backend, model, pixels, ids, 2, 16);
    const double bound = rounding_bound(model);
    INFO(OpsT::name);
    CHECK(relative_error(actual.hidden, numbers("vision_hidden", float{})) <= bound);
    CHECK(relative_error(actual.features, numbers("image_features", float{})) <= bound);
    CHECK(relative_error(actual.logits, numbers("logits", float{})) <= bound);
  });
}

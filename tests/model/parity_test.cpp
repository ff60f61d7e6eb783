// One model through every backend.

#include <cstddef>
#include <utility>

#include "catch.hpp"
#include "model/outputs.hpp"
#include "model/tiny_llava.hpp"
#include "support/backends.hpp"
#include "support/random.hpp"

using namespace tessera;
using test::TinyLlava;

namespace {

template <class OpsT>
auto outputs(const TinyLlava<OpsT>& tiny, int threads, int prefill_chunk, std::size_t steps = 0) {
  const auto pixels = test::random_numbers(tiny.model.vision.pixels(), 2);
  return test::outputs(tiny.ops, tiny.model, pixels, tiny.prompt(1), threads, prefill_chunk, steps);
}

}  // namespace

TEST_CASE("every backend computes the model of the reference in double, up to rounding") {
  const DType dtype = GENERATE(DType::f32, DType::bf16, DType::f16);
  const auto expected = outputs(TinyLlava<ops::Reference<double>>(dtype), 1, 512);
  test::for_every_backend([&]<class OpsT>(OpsT backend) {
    const TinyLlava<OpsT> tiny(dtype, std::move(backend));
    const auto actual = outputs(tiny, 2, 20, 3);
    const double bound = test::rounding_bound(tiny.model);
    INFO(OpsT::name << ", " << name_of(dtype));
    CHECK(test::relative_error(actual.hidden, expected.hidden) <= bound);
    CHECK(test::relative_error(actual.features, expected.features) <= bound);
    CHECK(test::relative_error(actual.logits, expected.logits) <= bound);
  });
}

TEST_CASE("the bits of the native backend depend neither on threads nor on how a prompt is cut") {
  const TinyLlava<ops::Native> tiny(DType::bf16);
  const auto expected = outputs(tiny, 1, 512);
  for (const int threads : {1, 2, 3}) {
    for (const int prefill_chunk : {1, 7, 512}) {
      INFO(threads << " threads, chunks of " << prefill_chunk);
      CHECK(outputs(tiny, threads, prefill_chunk) == expected);
    }
  }
  SECTION("decoding token by token with the cache is the same computation") {
    CHECK(outputs(tiny, 2, 512, 9) == expected);
  }
}

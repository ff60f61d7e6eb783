// After the first use nothing is allocated: not for an image, a prompt or a token.

#include <vector>

#include "tessera/model/session.hpp"
#include "tessera/ops/native.hpp"
#include "tessera/testing/allocation_counter.hpp"

#include "catch.hpp"
#include "model/tiny_llava.hpp"

using namespace tessera;

TEST_CASE("encoding, prefill and decoding allocate nothing in the steady state") {
  test::TinyLlava<ops::Native> tiny;
  Session session(tiny.model, tiny.ops, {.images = 2, .tokens = 64, .prefill_chunk = 8}, 2);
  const std::vector<float> image(tiny.model.vision.pixels(), 0.25f);
  const std::vector<int> prompt = tiny.prompt(1);
  const auto conversation = [&] {
    session.reset();
    session.encode(image);
    session.prefill(prompt);
    for (int i = 0; i < 8; ++i) session.step(5 + i);
  };
  conversation();  // the thread pool starts here
  CHECK(testing::count_allocations(conversation) == 0);
  CHECK(testing::count_allocations([] { std::vector<int> counted(3); }) == 1);
}

// What a session promises: the cache changes no bit, nor do threads or chunks; bad calls get a sentence.

#include "tessera/model/session.hpp"

#include <vector>

#include "tessera/model/generate.hpp"
#include "tessera/ops/native.hpp"

#include "catch.hpp"
#include "model/tiny_llava.hpp"
#include "support/errors.hpp"

using namespace tessera;
using Tiny = test::TinyLlava<ops::Native>;
using test::error_message;
using TinySession = Session<Llava15<>, ops::Native>;

namespace {

std::vector<float> image(const Tiny& tiny, float start) {
  std::vector<float> pixels(tiny.model.vision.pixels());
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = start + static_cast<float>(i % 29) * 0.05f;
  return pixels;
}

/// Logits of every token of `ids` after encoding one image, fed in the given pieces.
std::vector<float> all_logits(const Tiny& tiny, const std::vector<int>& ids, int chunk, int threads,
                              std::size_t first_piece) {
  TinySession session(tiny.model, tiny.ops, {.images = 1, .tokens = 64, .prefill_chunk = chunk}, threads);
  session.encode(image(tiny, -0.5f));
  const int vocab = tiny.model.language.vocab();
  std::vector<float> logits(ids.size() * static_cast<std::size_t>(vocab));
  const Mat<float> rows = dense(logits.data(), static_cast<int>(ids.size()), vocab);
  const int first = static_cast<int>(first_piece);
  session.prefill(std::span(ids).first(first_piece), {}, rows.rows_at(0, first));
  for (int i = first; i < rows.rows; ++i) {
    const auto step = session.step(ids[static_cast<std::size_t>(i)]);
    std::copy(step.begin(), step.end(), rows.row(i));
  }
  return logits;
}

}  // namespace

TEST_CASE("cached decoding, chunks and threads give the bits of one prefill") {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    const Tiny tiny(dtype);
    const std::vector<int> ids = tiny.prompt(1);
    const std::vector<float> whole = all_logits(tiny, ids, 64, 1, ids.size());
    CHECK(whole == all_logits(tiny, ids, 64, 1, ids.size() - 4));
    CHECK(whole == all_logits(tiny, ids, 64, 1, ids.size() - 5));  // text token by token
    for (const int threads : {1, 2, 3}) {
      for (const int chunk : {1, 5, 64}) CHECK(whole == all_logits(tiny, ids, chunk, threads, ids.size()));
    }
  }
}

TEST_CASE("a rewound session goes on as if nothing had followed") {
  const Tiny tiny;
  const std::vector<int> ids = tiny.prompt(1);
  TinySession session(tiny.model, tiny.ops, {.images = 1, .tokens = 64});
  session.encode(image(tiny, 0.1f));
  const auto first = session.prefill(ids);
  const std::vector<float> expected(first.begin(), first.end());
  session.step(3);
  session.rewind(1, 0);  // keep BOS: the image rows come again
  const auto again = session.prefill(std::span(ids).subspan(1));
  CHECK(std::vector<float>(again.begin(), again.end()) == expected);
}

TEST_CASE("several images are spliced in their order") {
  const Tiny tiny;
  const auto logits_of = [&](float a, float b) {
    TinySession session(tiny.model, tiny.ops, {.images = 2, .tokens = 96});
    session.encode(image(tiny, a));
    session.encode(image(tiny, b));
    const auto logits = session.prefill(tiny.prompt(2));
    return std::vector<float>(logits.begin(), logits.end());
  };
  CHECK(logits_of(0.0f, 1.0f) == logits_of(0.0f, 1.0f));
  CHECK(logits_of(0.0f, 1.0f) != logits_of(1.0f, 0.0f));
}

TEST_CASE("bad calls of a session are refused with what was expected") {
  const Tiny tiny;
  TinySession session(tiny.model, tiny.ops, {.images = 1, .tokens = 50});
  CHECK(error_message([&] { session.encode(std::vector<float>(5)); }) ==
        "an image has 5 numbers, the vision encoder reads 15552");
  session.encode(image(tiny, 0));
  CHECK(error_message([&] { session.encode(image(tiny, 0)); }) ==
        "more images than the limit of 1 that this session was planned for");
  CHECK(error_message([&] {
          session.prefill(std::vector<int>{1, 2});
        }) == "the prompt has 0 image tokens, but the images given make 36 rows");
  CHECK(error_message([&] { session.prefill(std::vector<int>{}); }) == "the prompt has no tokens");
  std::vector<int> unknown = tiny.prompt(1);
  unknown.back() = 300;
  CHECK(error_message([&] { session.prefill(unknown); }) == "token id 300 is outside the vocabulary of 300");
  std::vector<int> longer = tiny.prompt(1);
  longer.resize(60, 2);
  CHECK(error_message([&] { session.prefill(longer); }) == "the prompt of 60 tokens is longer than the limit of 50");
  session.prefill(tiny.prompt(1));  // a refused call has changed nothing
  CHECK(session.size() == 48);
  CHECK_THAT(error_message([&] { TinySession(tiny.model, tiny.ops, {.tokens = 0}); }), test::contains("at least 1"));
  CHECK(error_message([&] { TinySession(tiny.model, tiny.ops, {}, 0); }) == "0 threads, expected at least 1");
}

TEST_CASE("generation stops after an end id, at the limit, and when told to") {
  const Tiny tiny;
  const std::vector<int> ids = tiny.prompt(0);
  const auto answer = [&](GenerateOptions options, int stop_after) {
    TinySession session(tiny.model, tiny.ops, {.images = 0, .tokens = 64});
    int count = 0;
    return generate(session, session.prefill(ids), ids, options, [&](int) { return ++count < stop_after; });
  };
  const std::vector<int> six = answer({.max_new = 6}, 100);
  REQUIRE(six.size() == 6);
  CHECK(answer({.max_new = 6}, 2) == std::vector<int>(six.begin(), six.begin() + 2));
  const std::vector<int> ended = answer({.max_new = 6, .end_ids = {six[0]}}, 100);
  CHECK(ended == std::vector<int>{six[0]});
}

#include "tessera/model/initialize.hpp"

#include <vector>

#include "tessera/language/llama.hpp"
#include "tessera/ops/native.hpp"
#include "tessera/ops/reference.hpp"
#include "tessera/testing/approx.hpp"

#include "catch.hpp"

using namespace tessera;

namespace {

/// Logits of three rows by a fresh decoder.
template <class OpsT>
std::vector<float> logits(bool tied) {
  OpsT ops;
  WeightStore store;
  Llama<> decoder({.vocab = 50, .width = 16, .inner = 24, .depth = 1, .heads = 2, .tied_head = tied});
  initialize(decoder, ops, store, 3);
  const WeightView head = decoder.lm_head.weight, table = decoder.model.embed_tokens.weight;
  CHECK((head.id == table.id && head.data == table.data) == tied);
  std::vector<float> values(3 * 50);
  const auto run = [&](Context<OpsT>& c) {
    const Mat<float> x = c.arena.template mat<float>(3, 16);
    decoder.embed(c, std::vector<int>{1, 2, 3}, x);
    decoder.head(c, x, dense(values.data(), 3, 50));
  };
  Arena arena = plan_workspace(ops, 1, run);
  Context<OpsT> c(ops, arena, 1);
  run(c);
  return values;
}

}  // namespace

TEST_CASE("a fresh head is the table of embeddings where its config ties them") {
  const std::vector<float> tied = logits<ops::Native>(true), reference = logits<ops::Reference<float>>(true);
  CHECK(testing::relative_error(dense(tied.data(), 3, 50), dense(reference.data(), 3, 50)) < 1e-6);
  CHECK(logits<ops::Native>(false) != tied);
}

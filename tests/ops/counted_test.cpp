#include "tessera/ops/counted.hpp"

#include <vector>

#include "tessera/core/gradients.hpp"
#include "tessera/layer/attention.hpp"
#include "tessera/layer/mlp.hpp"
#include "tessera/model/initialize.hpp"
#include "tessera/ops/native.hpp"
#include "tessera/ops/native_training.hpp"
#include "tessera/ops/reference.hpp"

#include "catch.hpp"

using namespace tessera;

namespace {

using Training = ops::Counted<ops::NativeTraining>;
static_assert(TrainingOps<Training> && Ops<ops::Counted<ops::Native>> && !TrainingOps<ops::Counted<ops::Native>>);

/// What `pass(context)` of a layer costs in a real and a counting pass.
template <class OpsT, class Layer, class Pass>
std::uint64_t flops(Layer& layer, Pass&& pass) {
  OpsT ops;
  WeightStore store;
  initialize(layer, ops, store, 1);
  const Gradients<float> gradients(layer);
  Arena arena = plan_workspace(ops, 1, [&](Context<OpsT>& c) {
    TrainingContext<OpsT> counting(c.ops, c.arena, gradients, 1);
    pass(counting);
  });
  TrainingContext<OpsT> c(ops, arena, gradients, 1);
  pass(c);
  return ops.flops();
}

constexpr Need all{true, true};

}  // namespace

TEST_CASE("products count two operations for each multiply-add, forward and backward") {
  Linear<> layer(5, 7, true);
  std::vector<float> x(3 * 5), y(3 * 7);
  const auto forward = [&](auto& c) { infer(layer, c, dense<const float>(x.data(), 3, 5), dense(y.data(), 3, 7)); };
  CHECK(flops<Training>(layer, forward) == 2 * 3 * 5 * 7);
  CHECK(flops<ops::Counted<ops::Native>>(layer, forward) == 2 * 3 * 5 * 7);
  CHECK(flops<Training>(layer, [&](auto& c) {
          const Arena::PassScope scope(c.arena);
          decltype(layer)::Saved<all, float> saved;
          layer.forward<all>(c, dense<const float>(x.data(), 3, 5), dense(y.data(), 3, 7), saved);
          layer.backward<all>(c, saved, dense<const float>(y.data(), 3, 7), dense(x.data(), 3, 5));
        }) == 3 * 2 * 3 * 5 * 7);
}

TEST_CASE("a gated product counts once, whatever the backend makes of it") {
  GatedMlp<> layer(4, 6, Activation::silu);
  std::vector<float> x(3 * 4), y(3 * 4);
  const auto forward = [&](auto& c) {
    infer(layer, c, dense<const float>(x.data(), 3, 4), dense(y.data(), 3, 4), Mat<const float>{});
  };
  CHECK(flops<Training>(layer, forward) == 3 * 2 * 3 * 4 * 6);
  CHECK(flops<ops::Counted<ops::Native>>(layer, forward) == 3 * 2 * 3 * 4 * 6);
}

TEST_CASE("attention counts the pairs of a query and a key that it sees") {
  const Training ops;
  std::vector<float> memory(8 * 64);
  const auto rows = [&](int count) { return dense(memory.data(), count, 8); };
  const auto count = [&](int queries, int keys, bool causal) {
    const std::uint64_t before = ops.flops();
    const AttentionShape shape{.heads = 2, .kv_heads = 2, .head_dim = 4, .causal = causal};
    std::vector<float> out(64);
    const auto pass = [&](Run& run) {
      ops.attention(run, rows(queries), rows(keys), rows(keys), shape, dense(out.data(), queries, 8));
    };
    Arena arena = plan_workspace(ops, 1, pass);
    Run run{arena, 1};
    pass(run);
    return ops.flops() - before;
  };
  CHECK(count(3, 3, false) == 2 * 2 * 9 * 8);
  CHECK(count(3, 3, true) == 2 * 2 * (1 + 2 + 3) * 8);
  CHECK(count(2, 5, true) == 2 * 2 * (4 + 5) * 8);
  CHECK(count(1, 5, true) == 2 * 2 * 5 * 8);
}

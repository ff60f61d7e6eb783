#include "tessera/ops/watched.hpp"

#include <limits>
#include <string>
#include <vector>

#include "tessera/language/llama.hpp"
#include "tessera/model/initialize.hpp"
#include "tessera/ops/native_training.hpp"
#include "tessera/ops/reference.hpp"

#include "catch.hpp"
#include "support/errors.hpp"

using namespace tessera;

namespace {

template <class Ops>
concept Watchable = requires {
  typename ops::Watched<Ops>;
};
static_assert(Watchable<ops::NativeTraining> && !Watchable<ops::Native>);  // Native keeps the weights that it packed

/// What a small decoder says about the value `poison` in the first element of the parameter `name`.
template <class Ops>
std::string complaint(const std::string& name, float poison) {
  LlamaConfig config;
  config.vocab = 11, config.width = 8, config.inner = 10, config.depth = 2, config.heads = 2;
  Llama<> model(config);
  WeightStore store;
  Ops loading;
  initialize(model, loading, store, 1);
  for_each_param(
      [&](const std::string& path, auto& weight) {
        if (path == name) *const_cast<float*>(static_cast<const float*>(weight.data())) = poison;
      },
      model);
  const ops::Watched<Ops> watched(model);
  const std::vector<int> ids{1, 2, 3};
  Arena arena(1 << 20);
  Context<ops::Watched<Ops>> c(watched, arena, 1);
  const auto mat = [&] { return arena.mat<typename Ops::Scalar>(3, 8); };
  const auto x = mat(), y = mat();
  auto cache = model.make_cache<typename Ops::Scalar>(3);
  try {
    model.embed(c, ids, x);
    model.forward(c, x, y, cache);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEMPLATE_TEST_CASE("the first result that is not finite is named", "", ops::Reference<float>, ops::NativeTraining) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  CHECK(complaint<TestType>("model.norm.weight", 1).empty());
  CHECK(complaint<TestType>("model.layers.1.mlp.down_proj.weight", nan) ==
        "the product with 'model.layers.1.mlp.down_proj.weight' is the first result that is not finite");
  CHECK(complaint<TestType>("model.layers.0.input_layernorm.weight", infinity) ==
        "the norm with 'model.layers.0.input_layernorm.weight' is the first result that is not finite");
  CHECK(complaint<TestType>("model.layers.0.self_attn.v_proj.weight", 3e38f).find("'model.layers.0.self_attn.") !=
        std::string::npos);
}

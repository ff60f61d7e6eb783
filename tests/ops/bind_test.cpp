// A backend that keeps copies gets a model's weights a second time.

#include "tessera/ops/bind.hpp"

#include <vector>

#include "tessera/layer/linear.hpp"
#include "tessera/model/initialize.hpp"
#include "tessera/ops/native.hpp"

#include "catch.hpp"
#include "support/errors.hpp"

using namespace tessera;

namespace {

std::vector<float> run(const Linear<>& layer, const ops::Native& backend) {
  const std::vector<float> x{1, 2, 3};
  std::vector<float> y(2);
  const auto pass = [&](Context<ops::Native>& c) { infer(layer, c, dense(x.data(), 1, 3), dense(y.data(), 1, 2)); };
  Arena arena = plan_workspace(backend, 1, pass);
  Context<ops::Native> c(backend, arena, 1);
  pass(c);
  return y;
}

}  // namespace

TEST_CASE("bind_weights brings a backend up to date, or makes another one ready") {
  ops::Native first, second;
  WeightStore store;
  Linear<> layer(3, 2);
  initialize(layer, first, store, 1);
  CHECK(test::error_message([&] { run(layer, second); }).find("see ops::bind_weights") != std::string::npos);
  ops::bind_weights(layer, second);
  CHECK(run(layer, first) == run(layer, second));

  const std::vector<float> before = run(layer, first);
  const_cast<float*>(static_cast<const float*>(layer.weight.data()))[0] += 1;  // as a training step does
  CHECK(run(layer, first) == before);
  ops::bind_weights(layer, first);
  CHECK(run(layer, first)[0] == Approx(before[0] + 1));
  CHECK(run(layer, first)[1] == before[1]);
}

// Connectors against what they are made of. Their gradients are checked in tests/layer, their numbers in tests/hub.

#include "tessera/connect/projector.hpp"

#include <string>
#include <vector>

#include "tessera/connect/concat.hpp"
#include "tessera/connect/concept.hpp"
#include "tessera/layer/sequential.hpp"
#include "tessera/model/initialize.hpp"
#include "tessera/ops/reference.hpp"

#include "catch.hpp"
#include "support/errors.hpp"

using namespace tessera;

namespace {

using Ops64 = ops::Reference<double>;

/// What comes out, in `out_count` rows, for `count` rows of the numbers 0, 0.1, 0.2, …
template <class Layer>
std::vector<double> rows(const Layer& layer, Ops64& ops, int in, int count = 3, int out_count = 3) {
  Arena arena(1 << 16);
  Context<Ops64> c(ops, arena, 1);
  const Mat<double> x = arena.mat<double>(count, in);
  for (int r = 0; r < count; ++r) {
    for (int k = 0; k < in; ++k) x(r, k) = 0.1 * (r * in + k);
  }
  std::vector<double> y(static_cast<std::size_t>(out_count) * layer.out());
  infer(layer, c, x, dense(y.data(), out_count, layer.out()));
  return y;
}

template <class Connector>
std::string names(const Connector& connector) {
  std::string list;
  for_each_param([&](const std::string& name, const auto&) { list += name + " "; }, connector);
  return list;
}

}  // namespace

TEST_CASE("projectors are connectors that keep the number of rows") {
  static_assert(Connector<LinearProjector<>> && Connector<MLPProjector<2>> && Connector<MLPProjector<dyn>>);
  static_assert(MLPProjector<2, Gelu, 1024, 4096>::in_width == 1024);
  CHECK(LinearProjector<>(5, 4).tokens(576) == 576);
  CHECK(MLPProjector<2>(5, 4).tokens(576) == 576);
  CHECK(names(LinearProjector<>(5, 4)) == "weight bias ");
  CHECK(names(MLPProjector<2>(5, 4, false)) == "linear_1.weight linear_2.weight ");
}

TEST_CASE("an MLP projector is its linear layers with activations between them") {
  Ops64 ops;
  WeightStore store;
  MLPProjector<3, Silu> projector(5, 4);
  Sequential same(Linear<>(5, 4, true), Activate<Silu>(4), Linear<>(4, 4, true), Activate<Silu>(4),
                  Linear<>(4, 4, true));
  const auto deviation = [](int) { return 0.5f; };
  initialize(projector, ops, store, 7, deviation);
  initialize(same, ops, store, 7, deviation);
  CHECK(rows(projector, ops, 5) == rows(same, ops, 5));
}

TEST_CASE("a concatenating projector is a linear layer over groups of rows") {
  static_assert(Connector<ConcatProjector<4>>);
  static_assert(ConcatProjector<4, 1408, 4096>::in_width == 1408);
  const ConcatProjector<4> paper(1408, 4096);
  CHECK(paper.in() == 1408);
  CHECK(paper.tokens(1024) == 256);  // MiniGPT-v2: 448 x 448 pixels in patches of 14
  CHECK(test::error_message([&] { return paper.tokens(577); }) ==
        "the vision encoder makes 577 tokens, the connector joins groups of 4: expected a multiple");
  CHECK(names(paper) == "weight bias ");

  Ops64 ops;
  WeightStore store;
  ConcatProjector<3> projector(5, 4);
  Linear<> same(15, 4, true);
  initialize(projector, ops, store, 7);
  initialize(same, ops, store, 7);
  CHECK(rows(projector, ops, 5, 6, 2) == rows(same, ops, 15, 2, 2));
}

#include "tessera/core/params.hpp"

#include <map>
#include <string>
#include <vector>

#include "tessera/format/float_formats.hpp"
#include "tessera/layer/linear.hpp"
#include "tessera/layer/norm.hpp"

#include "catch.hpp"

using namespace tessera;

namespace {

struct Block {
  Linear<> proj{3, 2, false};
  LayerNorm<> norm{2};
  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v("proj", l.proj...);
    v("norm", l.norm...);
  }
};
struct Net {
  std::vector<Block> layers{2};
  Linear<> head{2, 5};
  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v("layers", l.layers...);
    v("head", l.head...);
  }
};

}  // namespace

TEST_CASE("every parameter is visited once, under its path") {
  const Net net;
  std::map<std::string, std::vector<std::int64_t>> seen;
  for_each_param([&](const std::string& name, const auto& weight) { seen[name] = weight.file_shape(); }, net);
  const std::map<std::string, std::vector<std::int64_t>> expected{
      {"layers.0.proj.weight", {2, 3}}, {"layers.0.norm.weight", {2}},
      {"layers.0.norm.bias", {2}},      {"layers.1.proj.weight", {2, 3}},
      {"layers.1.norm.weight", {2}},    {"layers.1.norm.bias", {2}},
      {"head.weight", {5, 2}},          {"head.bias", {5}}};
  CHECK(seen == expected);
  CHECK(count_params(net) == 2 * (6 + 4) + 15);
}

TEST_CASE("models of one structure are walked side by side") {
  Net a, b;
  std::vector<float> values(100, 1.0f);
  for_each_param([&](const std::string&, auto& weight) { weight.attach(values.data()); }, a);
  for_each_param([](const std::string&, const auto& from, auto& to) { to.attach(from.data()); }, a, b);
  CHECK(b.head.weight.data() == values.data());
  CHECK(b.layers[1].norm.bias.values() == values.data());
}

TEST_CASE("a fixed format takes no space, and attaching gives a new identity") {
  Matrix<bf16, 4, 3> fixed(4, 3);
  Matrix<any_format, 4, 3> loose(4, 3, DType::f16);
  CHECK(fixed.dtype() == DType::bf16);
  CHECK(loose.dtype() == DType::f16);
  CHECK(fixed.bytes() == 24);
  CHECK_FALSE(static_cast<bool>(fixed.view()));
  const float memory[12]{};
  fixed.attach(memory);
  loose.attach(memory);
  CHECK(fixed.view().id != loose.view().id);
  CHECK(fixed.view().data == memory);
}

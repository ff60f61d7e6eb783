// Layers against formulas in double.

#include <cmath>
#include <vector>

#include "tessera/layer/activation.hpp"
#include "tessera/layer/patch_embed.hpp"
#include "tessera/layer/rotary.hpp"
#include "tessera/layer/sequential.hpp"
#include "tessera/model/initialize.hpp"
#include "tessera/ops/reference.hpp"

#include "catch.hpp"

using namespace tessera;
using Ops64 = ops::Reference<double>;

namespace {

struct Fixture {
  Ops64 ops;
  WeightStore store;
  Arena arena{1 << 20};
  Context<Ops64> c{ops, arena, 1};
  Mat<double> rows(int count, int width) {
    const Mat<double> m = arena.mat<double>(count, width);
    for (int r = 0; r < count; ++r) {
      for (int k = 0; k < width; ++k) m(r, k) = std::sin(0.7 * r + 1.3 * k);
    }
    return m;
  }
};

}  // namespace

TEST_CASE("a patch embedding is the convolution whose stride is its kernel") {
  Fixture f;
  constexpr int patch = 3, height = 6, width = 9, out = 4;
  PatchEmbed<> embed(out, patch, true);
  initialize(embed, f.ops, f.store, 3);
  std::vector<float> image(3 * height * width);
  for (std::size_t i = 0; i < image.size(); ++i) image[i] = static_cast<float>(i % 17) * 0.1f;
  const Mat<double> y = f.rows(6, out);
  typename PatchEmbed<>::Saved<inference, double> nothing;
  embed.forward<inference>(f.c, image.data(), 1, height, width, y, nothing);
  const float* kernel = static_cast<const float*>(embed.weight.data());
  for (int py = 0; py < 2; ++py) {
    for (int px = 0; px < 3; ++px) {
      for (int o = 0; o < out; ++o) {
        double sum = 0;
        for (int channel = 0; channel < 3; ++channel) {
          for (int i = 0; i < patch; ++i) {
            for (int j = 0; j < patch; ++j) {
              sum += static_cast<double>(kernel[((o * 3 + channel) * patch + i) * patch + j]) *
                     image[static_cast<std::size_t>((channel * height + py * patch + i) * width + px * patch + j)];
            }
          }
        }
        CHECK(y(py * 3 + px, o) == Approx(sum).epsilon(1e-12));
      }
    }
  }
  CHECK(embed.weight.file_shape() == std::vector<std::int64_t>{4, 3, 3, 3});
}

TEST_CASE("a Sequential is its layers one after the other") {
  Fixture f;
  Sequential net(Linear<5, 7>(5, 7), Activate<Silu, 7>(7), Linear<7, 2>(7, 2));
  initialize(net, f.ops, f.store, 9);
  const Mat<double> x = f.rows(3, 5), y = f.rows(3, 2), hidden = f.rows(3, 7), expected = f.rows(3, 2);
  infer(net, f.c, x, y);
  infer(std::get<0>(net.layers), f.c, x, hidden);
  for (int r = 0; r < 3; ++r) {
    for (int k = 0; k < 7; ++k) hidden(r, k) /= 1 + std::exp(-hidden(r, k));
  }
  infer(std::get<2>(net.layers), f.c, hidden, expected);
  for (int r = 0; r < 3; ++r) {
    for (int k = 0; k < 2; ++k) CHECK(y(r, k) == Approx(expected(r, k)).epsilon(1e-12));
  }
  std::vector<std::string> names;
  for_each_param([&](const std::string& name, const auto&) { names.push_back(name); }, net);
  CHECK(names == std::vector<std::string>{"0.weight", "0.bias", "2.weight", "2.bias"});
}

TEST_CASE("training's forward gives inference's numbers and keeps what backward reads") {
  Fixture f;
  ActivatedLinear<> layer(4, 6, Activation::gelu);
  initialize(layer, f.ops, f.store, 1);
  const Mat<double> x = f.rows(3, 4), fused = f.rows(3, 6), kept = f.rows(3, 6);
  infer(layer, f.c, x, fused);
  typename ActivatedLinear<>::Saved<Need{true, true}, double> saved;
  layer.forward<Need{true, true}>(f.c, x, kept, saved);
  for (int r = 0; r < 3; ++r) {
    for (int k = 0; k < 6; ++k) {
      CHECK(fused(r, k) == kept(r, k));
      CHECK(ops::activation(Activation::gelu, saved.before_act(r, k)) == kept(r, k));
    }
  }
  CHECK(saved.linear.x.data == x.data);
  STATIC_REQUIRE(std::is_empty_v<Linear<>::Saved<inference, float>>);
}

TEST_CASE("rotary tables have the published frequencies") {
  Fixture f;
  const Rotary plain(8, {});
  const RotaryTables<double> tables = plain.tables(f.c, 5, 2);
  for (int j = 0; j < 4; ++j) {
    CHECK(tables.cos(1, j) == Approx(std::cos(6 * std::pow(10000.0, -2.0 * j / 8))).epsilon(1e-6));
    CHECK(tables.sin(0, j) == Approx(std::sin(5 * std::pow(10000.0, -2.0 * j / 8))).epsilon(1e-6));
  }
  const Rotary linear(8, {.kind = RopeKind::linear, .factor = 4});
  CHECK(linear.tables(f.c, 8, 1).cos(0, 0) == Approx(std::cos(2.0)).epsilon(1e-6));
  // Llama 3: wavelengths below 64 / 4 stay, above 64 / 1 are stretched eightfold, between they are blended.
  const Rotary llama3(8, {.kind = RopeKind::llama3,
                          .factor = 8,
                          .low_freq_factor = 1,
                          .high_freq_factor = 4,
                          .original_max_positions = 64});
  const RotaryTables<double> t = llama3.tables(f.c, 1, 1);
  CHECK(t.cos(0, 0) == Approx(std::cos(1.0)).epsilon(1e-6));
  CHECK(t.sin(0, 3) == Approx(std::sin(0.001 / 8)).epsilon(1e-5));
  CHECK_THROWS_AS(Rotary(7, {}), Error);
}

TEST_CASE("rotation turns pairs half a head apart and keeps their length") {
  Fixture f;
  const Mat<double> x = f.rows(2, 8), before = f.rows(2, 8);
  const RotaryTables<double> tables = Rotary(4, {}).tables(f.c, 3, 2);
  f.ops.rotate(f.c, x, 2, tables.cos, tables.sin);
  for (int r = 0; r < 2; ++r) {
    for (const int head : {0, 4}) {
      const double angle = 3 + r;  // the first frequency is 1
      CHECK(x(r, head) ==
            Approx(before(r, head) * std::cos(angle) - before(r, head + 2) * std::sin(angle)).margin(1e-6));
      CHECK(std::hypot(x(r, head + 1), x(r, head + 3)) ==
            Approx(std::hypot(before(r, head + 1), before(r, head + 3))).epsilon(1e-6));
    }
  }
}

// Every layer's backward against numerical derivatives in double.
#include <limits>
#include <utility>
#include <vector>

#include "tessera/connect/concat.hpp"
#include "tessera/connect/projector.hpp"
#include "tessera/language/llama.hpp"
#include "tessera/layer/activation.hpp"
#include "tessera/layer/frozen.hpp"
#include "tessera/layer/norm.hpp"
#include "tessera/layer/recompute.hpp"
#include "tessera/layer/sequential.hpp"
#include "tessera/testing/grad_check.hpp"
#include "tessera/vision/vit.hpp"

#include "catch.hpp"
#include "support/errors.hpp"
#include "support/pooled_projector.hpp"

using namespace tessera;
using testing::grad_check;

namespace {

// Five points 1/2048 apart leave an error of about 1e-14 of the fifth derivative, and rounding one of 1e-12.
constexpr double bound = 1e-8;

template <class L>
void check(L layer, int in, int rows = 3, int out_rows = 0) {
  const testing::GradCheckReport report = grad_check(layer, {.in = in, .rows = rows, .out_rows = out_rows});
  INFO(report.where);
  CHECK(report.worst < bound);
}

/// A part with more operands than x as a layer of one.
template <class Part, class Forward, class Backward>
struct AsLayer : Part {
  static constexpr dim in_width = dyn, out_width = dyn;
  Forward run;
  Backward run_backward;

  AsLayer(Part part, Forward f, Backward b) : Part(std::move(part)), run(f), run_backward(b) {}

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, typename Part::template Saved<N, S>& saved) const {
    const Part& part = *this;
    run([&](auto&&... args) { part.template forward<N>(c, x, y, args..., saved); }, c, x);
  }
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const typename Part::template Saved<N, S>& saved, Input<S> dy, Mat<S> dx) const {
    const Part& part = *this;
    run_backward([&](auto&&... args) { part.template backward<N>(c, saved, dy, dx, args...); }, c);
  }
};

/// A linear layer whose weight gradient is false, missing or not a number.
enum class Mistake { doubled, missing, not_a_number };
template <Mistake mistake>
struct Mistaken : Linear<> {
  using Linear<>::Linear;
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx) const {
    if (N.dw && mistake == Mistake::missing) return Linear<>::backward<Need{.dx = N.dx}>(c, {}, dy, dx);
    Linear<>::backward<N>(c, saved, dy, dx);
    if constexpr (N.dw) {
      S& first = c.gradients(weight)(0, 0);
      first = mistake == Mistake::doubled ? 2 * first : std::numeric_limits<S>::quiet_NaN();
    }
  }
};

/// A connector that exchanges the first two images of a batch.
struct Mixing : test::PooledProjector {
  using PooledProjector::PooledProjector;
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, int images, Mat<S> y, Saved<N, S>& saved) const {
    PooledProjector::forward<N>(c, x, images, y, saved);
    for (int i = 0; i < y.cols && images > 1 && !c.arena.counting(); ++i) std::swap(y(0, i), y(1, i));
  }
};

Attention<> attention(int heads, int kv_heads, bool causal, bool bias) {
  return Attention<>({.width = 12,
                      .heads = heads,
                      .kv_heads = kv_heads,
                      .head_dim = 4,
                      .qkv_bias = bias,
                      .out_bias = bias,
                      .causal = causal});
}

const int ends[] = {3, 4, 7};
const Sequences sequences{std::span<const int>(ends)};
const Rotary rotary(4, {});

/// A decoder from rows to rows: the table of embeddings and the head take no part.
template <class Block = LlamaBlock<>>
struct Rows : Llama<LlamaConfig, any_format, Block> {
  using Decoder = Llama<LlamaConfig, any_format, Block>;
  using Decoder::Decoder;
  int out() const { return this->width(); }
  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v("layers", l.model.layers...);
    v("norm", l.model.norm...);
  }
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, typename Decoder::template Saved<N, S>& saved) const {
    Decoder::template forward<N>(c, x, sequences, y, saved);
  }
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const typename Decoder::template Saved<N, S>& saved, Input<S> dy, Mat<S> dx) const {
    Decoder::template backward<N>(c, saved, dy, dx, sequences);
  }
};

}  // namespace

TEST_CASE("gradients of primitives are those of numerical differentiation") {
  check(Linear<>(5, 4, true), 5);
  check(Linear<5, 4, f32, 0>(5, 4), 5);
  check(LayerNorm<>(6), 6);
  check(RMSNorm<>(6), 6);
  for (const Activation act :
       {Activation::identity, Activation::gelu, Activation::gelu_tanh, Activation::quick_gelu, Activation::silu})
    check(ActivatedLinear<>(4, 5, act, true), 4);
  check(Activate<Gelu>(5), 5);
  const auto no_residual = [](auto&& call, auto&, auto&) { call(Mat<const double>{}); };
  const auto no_more = [](auto&& call, auto&) { call(); };
  check(AsLayer(Mlp<>(4, 7, Activation::quick_gelu), no_residual, no_more), 4);
  check(AsLayer(GatedMlp<>(4, 7, Activation::silu), no_residual, no_more), 4);
}

TEST_CASE("gradients of connectors are those of numerical differentiation") {
  check(LinearProjector<>(5, 4, true), 5);
  check(MLPProjector<1>(5, 4), 5);
  check(MLPProjector<3, Silu>(5, 4), 5);
  check(MLPProjector<dyn>(5, 4, false, DType::f32, 2), 5);
  check(ConcatProjector<1>(5, 4), 5);
  check(ConcatProjector<3>(5, 4), 5, 6, 2);
}

TEST_CASE("a connector that mixes the rows of each image can be checked") {
  test::PooledProjector layer(5, 4);
  CHECK(grad_check(layer, {.rows = 6, .images = 2}).worst < bound);
  const auto complaint = [&](testing::GradCheckOptions options) {
    return test::error_message([&] { grad_check(layer, options); });
  };
  CHECK(complaint({.rows = 5, .images = 2}).find("grad_check: 5 rows of x are no whole number") == 0);
  CHECK(complaint({.rows = 6, .images = 2, .out_rows = 6}) == "grad_check: y has 6 rows, the connector makes 2");
}

TEST_CASE("a connector that mixes the images of a batch is found") {
  Mixing layer(5, 4);
  const testing::GradCheckReport report = grad_check(layer, {.rows = 6, .images = 2});
  CHECK(report.worst == std::numeric_limits<double>::infinity());
  CHECK(report.where == "y: the images of a batch are mixed");
}

TEST_CASE("grad_check finds gradients that are false, missing or not a number") {
  const auto report_of = [](auto layer) { return grad_check(layer, {.in = 5}); };
  const testing::GradCheckReport doubled = report_of(Mistaken<Mistake::doubled>(5, 4)),
                                 missing = report_of(Mistaken<Mistake::missing>(5, 4)),
                                 not_a_number = report_of(Mistaken<Mistake::not_a_number>(5, 4));
  CHECK(doubled.worst > 0.01);
  CHECK(doubled.where == "weight, dx dw");
  CHECK(missing.worst == Approx(1));
  CHECK(missing.where == "weight, dx dw");
  CHECK(not_a_number.worst == std::numeric_limits<double>::infinity());
  Linear<> layer(5, 4);
  CHECK(test::error_message([&] { grad_check(layer, {.in = 6}); }) == "grad_check: x is 6 wide, the layer reads 5");
}

TEST_CASE("Sequential, Frozen and Recompute give the gradients of what they hold") {
  check(Sequential(Linear<>(5, 6, true), Activate<Gelu>(6), LayerNorm<>(6), Linear<>(6, 4, true)), 5);
  check(Sequential(Linear<>(5, 6, true), Recompute(Sequential(Linear<>(6, 3, true), Activate<Silu>(3))),
                   Linear<>(3, 4, true)),
        5);
  check(Sequential(Frozen(Linear<>(5, 6, true)), Linear<>(6, 6, true), Frozen(LayerNorm<>(6)), Linear<>(6, 4, true)),
        5);
}

TEST_CASE("what is frozen saves nothing and owes nothing") {
  using L = Linear<6, 6>;
  using Below = Sequential<Frozen<L>, L, Frozen<L>>;
  using Saved = Below::Saved<Need{.dw = true}, float>;
  static_assert(std::is_empty_v<std::tuple_element_t<0, decltype(Saved::layers)>>);
  static_assert(!std::is_empty_v<std::tuple_element_t<1, decltype(Saved::layers)>>);
  static_assert(std::is_empty_v<std::tuple_element_t<2, decltype(Saved::layers)>>);
  static_assert(std::is_empty_v<L::Saved<Need{.dx = true}, float>>);
  static_assert(trains<Below> && !trains<Frozen<L>> && !trains<Sequential<Frozen<L>>>);
  int names = 0;
  Below layers(Frozen<L>(L(6, 6, true)), L(6, 6, true), Frozen<L>(L(6, 6, true)));
  for_each_trainable_param([&](const std::string& name, const auto&) { names += name.starts_with("1."); }, layers);
  CHECK(names == 2);
  std::vector<float> memory(200);
  for_each_param([&](const std::string&, auto& weight) { weight.attach(memory.data()); }, layers);
  const Gradients<float> gradients(layers);
  CHECK(gradients.values().size() == 42);
  CHECK_THROWS_AS(gradients(std::get<0>(layers.layers).weight), Error);
}

TEST_CASE("gradients of attention: grouped heads, causal, several sequences, rotary") {
  const auto plain = [](auto&& call, auto&, auto&) { call(AttentionInputs<double>{}); };
  const auto plain_backward = [](auto&& call, auto&) { call(AttentionInputs<double>{}); };
  check(AsLayer(attention(3, 3, false, true), plain, plain_backward), 12, 5);
  check(AsLayer(attention(4, 2, true, false), plain, plain_backward), 12, 5);
  const auto rotated = [](auto&& call, auto& c, auto&) {
    const RotaryTables<double> rope = rotary.tables(c, 0, 3);
    call(AttentionInputs<double>{.rope = &rope, .sequences = &sequences});
  };
  const auto rotated_backward = [](auto&& call, auto& c) {
    const RotaryTables<double> unrotate = rotary.tables(c, 0, 3, -1);
    call(AttentionInputs<double>{.unrotate = &unrotate, .sequences = &sequences});
  };
  check(AsLayer(attention(4, 1, true, true), rotated, rotated_backward), 12, 7);
}

TEST_CASE("gradients of transformer blocks") {
  const auto with_inputs = [](auto&& call, auto& c, auto&&...) {
    const RotaryTables<double> rope = rotary.tables(c, 0, 3), unrotate = rotary.tables(c, 0, 3, -1);
    call(AttentionInputs<double>{.rope = &rope, .unrotate = &unrotate, .sequences = &sequences});
  };
  const ClipVisionConfig vision{.width = 8, .heads = 2, .inner = 10};
  check(AsLayer(ViTBlock<>(vision), with_inputs, with_inputs), 8, 7);
  LlamaConfig language;
  language.width = 8, language.inner = 10, language.heads = 2, language.kv_heads = 1, language.norm_eps = 1e-5f;
  check(AsLayer(LlamaBlock<>(language), with_inputs, with_inputs), 8, 7);
  check(AsLayer(Recompute(LlamaBlock<>(language)), with_inputs, with_inputs), 8, 7);
}

TEST_CASE("gradients of a whole decoder") {
  LlamaConfig config;
  config.vocab = 11, config.width = 8, config.inner = 10, config.depth = 2, config.heads = 2, config.kv_heads = 1;
  check(Rows<>(config), 8, 7);
  check(Rows<Recompute<LlamaBlock<>>>(config), 8, 7);
}

// Swapping parts. Every slot of a model is a type, so another architecture is another template argument, and a part of
// your own is a struct with a handful of members. The compiler checks that the widths fit.

#include <cstdio>
#include <vector>

#include "tessera/tessera.hpp"
#include "tessera/testing/grad_check.hpp"

using namespace tessera;

// 1. Configs. A `static constexpr` field is fixed by the type; a plain field would be read from config.json.
struct TinyText {
  static constexpr int vocab = 512, width = 256, inner = 688, depth = 2, heads = 4, kv_heads = 2, head_dim = 64;
  static constexpr float norm_eps = 1e-5f;
  static constexpr Activation act = Activation::silu;
  static constexpr bool attention_bias = false, mlp_bias = false, tied_head = false;
  static constexpr int max_positions = 1024;
  static constexpr RopeConfig rope{};
};
// A published tower, cut to two blocks so that this example runs in a moment.
struct TinyL14 : presets::ClipL14 {
  static constexpr int depth = 2;
};
struct TinyB16 : presets::ClipB16 {
  static constexpr int depth = 2;
};

// 2. A connector of your own: half of the rows (every second one), then one linear layer.
template <dim In, dim Out>
struct EverySecond : Linear<In, Out> {
  using Linear<In, Out>::Linear;
  int tokens(int vision_tokens) const {
    if (vision_tokens % 2 != 0) fail("EverySecond reads pairs of vision tokens, this tower makes ", vision_tokens);
    return vision_tokens / 2;
  }

  template <Need N, class S>
  using Saved = typename Linear<In, Out>::template Saved<N, S>;

  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void forward(Ctx& c, Input<S> x, Mat<S> y, Saved<N, S>& saved) const {
    Linear<In, Out>::template forward<N>(c, every_second(x), y, saved);
  }
  template <Need N, class Ctx, class S = typename Ctx::Scalar>
  void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx) const {
    Linear<In, Out>::template backward<N>(c, saved, dy, every_second(dx));
  }

 private:
  template <class T>
  static Mat<T> every_second(Mat<T> m) {
    return {m.data, m.rows / 2, m.cols, 2 * m.stride};  // a view: nothing is copied
  }
};

// Its backward pass against numerical derivatives of its forward pass.
void check_connector() {
  EverySecond<dyn, dyn> small(5, 4);
  const testing::GradCheckReport report = testing::grad_check(small, {.rows = 6});
  if (report.worst > 1e-7) fail("EverySecond: the gradient of ", report.where, " is off by ", report.worst);
}

// 3. Architectures: one template argument apart.
template <class Vision, class Connector>
using Model = Vlm<Vision, Connector, Llama<TinyText>, splice::AtImageToken>;

using L14 = ViT<TinyL14>;
using B16 = ViT<TinyB16>;
using Linear1 = Model<L14, LinearProjector<1024, 256>>;
using Mlp2 = Model<L14, MLPProjector<2, Gelu, 1024, 256>>;
using Mlp3 = Model<L14, MLPProjector<3, Silu, 1024, 256>>;
using OtherTower = Model<B16, MLPProjector<2, Gelu, 768, 256>>;
using OwnConnector = Model<L14, EverySecond<1024, 256>>;
// using Wrong = Model<B16, LinearProjector<1024, 256>>;
//   error: … "Vlm: the vision encoder's width is not the connector's input width", vision_to_connector<768, 1024>

// 4. Run one: fresh weights, a grey image, greedy decoding.
template <class M>
void try_out(const char* name) {
  using Vision = decltype(M::vision);
  using Connector = decltype(M::connector);
  const auto vision_config = decltype(Vision::config){};
  M model(Vision(vision_config), Connector(vision_config.width, TinyText::width), Llama<TinyText>(TinyText{}), {});
  ops::Native ops;
  WeightStore store;
  initialize(model, ops, store, /*seed=*/1);

  Session session(model, ops, {.images = 1, .tokens = 400});
  const std::vector<float> grey(model.vision.pixels(), 0.0f);
  session.encode(grey);
  std::vector<int> prompt(static_cast<std::size_t>(model.image_tokens()), model.splice.image_token);
  prompt.push_back(1);
  const std::vector<int> answer =
      generate(session, session.prefill(prompt), prompt, {.max_new = 4}, [](int) { return true; });
  std::printf("%-24s %3d image tokens, %9zu parameters, answer:", name, model.image_tokens(), count_params(model));
  for (const int id : answer) std::printf(" %d", id);
  std::printf("\n");
}

int main() {
  check_connector();
  try_out<Linear1>("linear projector");
  try_out<Mlp2>("2-layer MLP, GELU");
  try_out<Mlp3>("3-layer MLP, SiLU");
  try_out<OtherTower>("CLIP-B/16, 2-layer MLP");
  try_out<OwnConnector>("our own connector");
}

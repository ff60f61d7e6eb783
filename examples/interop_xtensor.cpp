// xtensor users: pixels from a .npy file or an xtensor, hidden states back as one. Usage: interop_xtensor [PIXELS.npy]

#include <cstdio>

#include <xtensor/xarray.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xrandom.hpp>

#include "tessera/interop/xtensor.hpp"
#include "tessera/model/initialize.hpp"
#include "tessera/ops/native.hpp"
#include "tessera/vision/vit.hpp"

using namespace tessera;

int main(int argc, char** argv) try {
  const ClipVisionConfig config{.image_size = 56, .patch_size = 14, .width = 64, .heads = 4, .depth = 3, .inner = 128};
  ViT<> tower(config);
  ops::Native ops;
  WeightStore store;
  initialize(tower, ops, store, 1);

  const xt::xarray<float> image =
      argc > 1 ? interop::load_npy<float>(argv[1]) : xt::xarray<float>(xt::random::rand<float>({3, 56, 56}));
  if (image.size() != tower.pixels())
    fail("the array has ", image.size(), " numbers, the tower reads ", tower.pixels());
  xt::xtensor<float, 2> hidden({static_cast<std::size_t>(tower.tokens()), static_cast<std::size_t>(tower.out())});

  const auto pass = [&](Context<ops::Native>& c) { infer(tower, c, image.data(), interop::as_mat(hidden)); };
  Arena arena = plan_workspace(ops, default_threads(), pass);
  Context<ops::Native> context(ops, arena);
  pass(context);

  interop::dump_npy("hidden.npy", hidden);
  std::printf("%zu tokens written to hidden.npy; mean %.5f, deviation %.5f\n", hidden.shape(0), xt::mean(hidden)(),
              xt::stddev(hidden)());
} catch (const Error& error) {
  std::fprintf(stderr, "interop_xtensor: %s\n", error.what());
  return 1;
}

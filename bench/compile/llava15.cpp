// The translation unit of the compile-time budget: one model at a published size, run by the SIMD kernels.
#include "tessera/tessera.hpp"

using namespace tessera;
using Model = Llava15<presets::ClipL14_336, presets::Vicuna7B, bf16>;

std::vector<int> answer(const Model& model, std::span<const float> pixels, std::span<const int> prompt) {
  const ops::Native ops;
  Session session(model, ops, {.images = 1, .tokens = 1024});
  session.encode(pixels);
  return generate(session, session.prefill(prompt), prompt, {.max_new = 64}, [](int) { return true; });
}

#pragma once
// The engine of one compute backend.

#include <optional>
#include <utility>

#include "tessera/hub/llava.hpp"

#include "cli/engine.hpp"

namespace tessera::cli {

template <class Model, class OpsT>
class EngineOf final : public Engine {
 public:
  explicit EngineOf(const EngineOptions& options)
      : threads_(options.runtime.threads),
        model_(hub::load_llava<Model>(options.folder, *options.config, options.runtime.formats(options.config->stored),
                                      ops_, store_, options.progress)) {}

  int image_tokens() const override { return model_.image_tokens(); }
  int vocab() const override { return model_.language.vocab(); }
  int positions() const override { return model_.language.config.max_positions; }
  bool is_image_token(int id) const override { return model_.splice.is_image(id); }

  void begin(Limits limits) override { session_.emplace(model_, ops_, limits, threads_); }
  void encode(std::span<const float> pixels) override { session_->encode(pixels); }
  std::span<const float> prefill(std::span<const int> ids, const Progress& progress, Mat<float> all_logits) override {
    return session_->prefill(ids, progress, all_logits);
  }
  std::span<const float> step(int id) override { return session_->step(id); }
  void rewind(int tokens, int image_rows) override { session_->rewind(tokens, image_rows); }
  int size() const override { return session_->size(); }
  const Limits& limits() const override { return session_->limits(); }
  Mat<const float> vision_hidden() const override { return session_->vision_hidden(); }
  Mat<const float> image_features() const override { return session_->image_features(); }
  std::vector<int> beam_search(std::span<const float> logits, std::span<const int> prompt,
                               const BeamOptions& options) override {
    return tessera::beam_search(*session_, logits, prompt, options);
  }

 private:
  int threads_;
  OpsT ops_;
  WeightStore store_;
  Model model_;
  std::optional<Session<Model, OpsT>> session_;
};

template <class OpsT>
std::unique_ptr<Engine> make_engine(const EngineOptions& options) {
  return hub::with_llava_type(*options.config, [&]<class Model>() -> std::unique_ptr<Engine> {
    return std::make_unique<EngineOf<Model, OpsT>>(options);
  });
}

}  // namespace tessera::cli

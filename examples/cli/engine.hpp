#pragma once
// A loaded model and its session behind virtual functions, so that each compute backend is compiled in a file of its
// own and the commands are written once.

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tessera/io/load.hpp"
#include "tessera/model/beam_search.hpp"
#include "tessera/model/session.hpp"

#include "cli/runtime.hpp"

namespace tessera::cli {

class Engine {
 public:
  using Progress = std::function<void(int, int)>;

  virtual ~Engine() = default;
  virtual int image_tokens() const = 0;
  virtual int vocab() const = 0;
  virtual int positions() const = 0;
  virtual bool is_image_token(int id) const = 0;

  /// Starts a conversation; the functions below belong to it and are those of tessera::Session.
  virtual void begin(Limits limits) = 0;
  virtual void encode(std::span<const float> pixels) = 0;
  virtual std::span<const float> prefill(std::span<const int> ids, const Progress& progress, Mat<float> all_logits) = 0;
  virtual std::span<const float> step(int id) = 0;
  virtual void rewind(int tokens, int image_rows) = 0;
  virtual int size() const = 0;
  virtual const Limits& limits() const = 0;
  virtual Mat<const float> vision_hidden() const = 0;
  virtual Mat<const float> image_features() const = 0;
  virtual std::vector<int> beam_search(std::span<const float> logits, std::span<const int> prompt,
                                       const BeamOptions& options) = 0;
};

/// What is needed to load a model.
struct EngineOptions {
  std::string folder;
  const hub::LlavaConfig<>* config;
  RuntimeOptions runtime;
  io::LoadProgress progress;
};

std::unique_ptr<Engine> make_native(const EngineOptions& options);
std::unique_ptr<Engine> make_reference(const EngineOptions& options);
std::unique_ptr<Engine> make_onednn(const EngineOptions& options);
std::unique_ptr<Engine> make_eigen(const EngineOptions& options);

}  // namespace tessera::cli

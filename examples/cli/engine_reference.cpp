#include "tessera/ops/reference.hpp"

#include "cli/engine_with.hpp"

namespace tessera::cli {

std::unique_ptr<Engine> make_reference(const EngineOptions& options) {
  return make_engine<ops::Reference<float>>(options);
}

}  // namespace tessera::cli

#include "cli/engine_with.hpp"
#include "tessera/ops/reference.hpp"

namespace tessera::cli {

std::unique_ptr<Engine> make_reference(const EngineOptions& options) { return make_engine<ops::Reference<float>>(options); }

}  // namespace tessera::cli

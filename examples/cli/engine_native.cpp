#include "tessera/ops/native.hpp"

#include "cli/engine_with.hpp"

namespace tessera::cli {

std::unique_ptr<Engine> make_native(const EngineOptions& options) { return make_engine<ops::Native>(options); }

}  // namespace tessera::cli

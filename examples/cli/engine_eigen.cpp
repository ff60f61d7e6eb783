#include "cli/engine_with.hpp"
#include "tessera/ops/eigen.hpp"

namespace tessera::cli {

std::unique_ptr<Engine> make_eigen(const EngineOptions& options) { return make_engine<ops::EigenOps>(options); }

}  // namespace tessera::cli

#include "tessera/ops/eigen.hpp"

#include "cli/engine_with.hpp"

namespace tessera::cli {

std::unique_ptr<Engine> make_eigen(const EngineOptions& options) { return make_engine<ops::EigenOps>(options); }

}  // namespace tessera::cli

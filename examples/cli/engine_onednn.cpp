#include "tessera/ops/onednn.hpp"

#include "cli/engine_with.hpp"

namespace tessera::cli {

std::unique_ptr<Engine> make_onednn(const EngineOptions& options) { return make_engine<ops::OneDnn>(options); }

}  // namespace tessera::cli

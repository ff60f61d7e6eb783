#include "cli/ask_with.hpp"
#include "tessera/ops/eigen.hpp"

namespace tessera::cli {

void ask_eigen(const AskOptions& options) { ask_with<ops::EigenOps>(options); }

}  // namespace tessera::cli

#include "cli/ask_with.hpp"
#include "tessera/ops/reference.hpp"

namespace tessera::cli {

void ask_reference(const AskOptions& options) { ask_with<ops::Reference<float>>(options); }

}  // namespace tessera::cli

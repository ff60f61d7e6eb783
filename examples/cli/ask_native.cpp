#include "cli/ask_with.hpp"
#include "tessera/ops/native.hpp"

namespace tessera::cli {

void ask_native(const AskOptions& options) { ask_with<ops::Native>(options); }

}  // namespace tessera::cli

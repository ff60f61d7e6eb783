#include "cli/ask_with.hpp"
#include "tessera/ops/onednn.hpp"

namespace tessera::cli {

void ask_onednn(const AskOptions& options) { ask_with<ops::OneDnn>(options); }

}  // namespace tessera::cli

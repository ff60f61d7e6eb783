#pragma once
/// The generation loop, written once for every model.

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "tessera/language/sampler.hpp"

namespace tessera {

struct GenerateOptions {
  int max_new = 512;           ///< tokens at most
  std::vector<int> end_ids{};  ///< the answer is over after one of these
  SamplerOptions sampler{};
};

/// Continues from `logits`, those after the last token of a prefilled session. `prompt` is what a repetition penalty
/// counts. Calls `on_token(id)` for each new token as soon as it is chosen; a false result stops. Returns all new
/// tokens, an end id included.
template <class SessionT, class Logits, class OnToken>
std::vector<int> generate(SessionT& session, Logits logits, std::span<const int> prompt, const GenerateOptions& options,
                          OnToken&& on_token) {
  check_range("generate: max_new", options.max_new, 0, 1 << 24);
  Sampler sampler(options.sampler, static_cast<int>(logits.size()));
  sampler.observe(prompt);
  std::vector<int> answer;
  answer.reserve(static_cast<std::size_t>(options.max_new));
  while (static_cast<int>(answer.size()) < options.max_new) {
    const int id = sampler.next(logits);
    answer.push_back(id);
    const bool over = std::find(options.end_ids.begin(), options.end_ids.end(), id) != options.end_ids.end();
    if (!on_token(id) || over || static_cast<int>(answer.size()) == options.max_new) break;
    logits = session.step(id);
  }
  return answer;
}

}  // namespace tessera

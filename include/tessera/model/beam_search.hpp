#pragma once
/// Beam search over a prefilled session, with the scores and stopping rule of transformers (generation/utils.py,
/// `early_stopping = false`).

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"

namespace tessera {

struct BeamOptions {
  int beams = 4;
  int max_new = 512;
  float length_penalty = 1;    ///< a finished answer scores log p / length^length_penalty
  std::vector<int> end_ids{};
};

namespace detail {

struct Beam {
  std::vector<int> ids;
  double log_probability = 0;
};

struct BeamCandidate {
  double log_probability;
  int beam, id;
};

/// log softmax, in float like the reference's.
template <class S>
void log_softmax(std::span<const S> logits, std::vector<float>& out) {
  const float largest = static_cast<float>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0;
  for (const S logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  const float log_sum = static_cast<float>(std::log(sum));
  out.resize(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) out[i] = static_cast<float>(logits[i]) - largest - log_sum;
}

}  // namespace detail

/// Continues from `logits`, those after the last token of a prefilled session, and returns the best answer's new tokens,
/// an end id included. The session needs room for max_new more tokens.
template <class SessionT, class Logits>
std::vector<int> beam_search(SessionT& session, Logits logits, const BeamOptions& options) {
  if (options.beams < 1 || options.max_new < 1) fail("beam search: ", options.beams, " beams and ", options.max_new, " new tokens: at least 1 each");
  const std::size_t beams = static_cast<std::size_t>(options.beams);
  std::vector<detail::Beam> running{{}}, finished;
  std::vector<detail::BeamCandidate> candidates;
  std::vector<float> log_p;
  auto forks = session.fork(options.beams);
  const auto consider = [&](std::size_t beam, auto scores) {
    detail::log_softmax(scores, log_p);
    for (std::size_t id = 0; id < log_p.size(); ++id) {
      candidates.push_back({running[beam].log_probability + log_p[id], static_cast<int>(beam), static_cast<int>(id)});
    }
  };
  const auto better = [](const auto& a, const auto& b) { return a.log_probability > b.log_probability; };
  const auto penalised = [&](double log_probability, int length) {
    return log_probability / std::pow(static_cast<double>(length), static_cast<double>(options.length_penalty));
  };

  consider(0, logits);
  for (int length = 1;; ++length) {
    const std::size_t looked_at = std::min(2 * beams, candidates.size());
    std::partial_sort(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(looked_at), candidates.end(), better);
    std::vector<detail::Beam> next;
    std::vector<int> parents;
    for (std::size_t rank = 0; rank < looked_at; ++rank) {
      const detail::BeamCandidate& c = candidates[rank];
      detail::Beam extended{running[static_cast<std::size_t>(c.beam)].ids, c.log_probability};
      extended.ids.push_back(c.id);
      const bool ended = length == options.max_new || std::find(options.end_ids.begin(), options.end_ids.end(), c.id) != options.end_ids.end();
      if (ended && rank < beams) {
        extended.log_probability = penalised(c.log_probability, length);
        finished.push_back(std::move(extended));
      } else if (!ended && next.size() < beams) {
        next.push_back(std::move(extended));
        parents.push_back(c.beam);
      }
    }
    std::stable_sort(finished.begin(), finished.end(), better);
    if (finished.size() > beams) finished.resize(beams);
    const bool hopeless = finished.size() == beams && !next.empty() &&
                          penalised(next.front().log_probability, length) <= finished.back().log_probability;
    if (length == options.max_new || next.empty() || hopeless) break;

    running = std::move(next);
    forks.reorder(parents);
    candidates.clear();
    for (std::size_t beam = 0; beam < running.size(); ++beam) consider(beam, forks.step(static_cast<int>(beam), running[beam].ids.back()));
  }
  return finished.front().ids;
}

}  // namespace tessera

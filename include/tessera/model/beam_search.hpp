#pragma once
/// Beam search over a prefilled session, with the scores and stopping rule of transformers (generation/utils.py,
/// `early_stopping = false`).

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/language/sampler.hpp"

namespace tessera {

struct BeamOptions {
  int beams = 4;
  int max_new = 512;
  float length_penalty = 1;  ///< a finished answer scores log p / length^length_penalty
  float repetition_penalty = 1;
  std::vector<int> end_ids{};
};

namespace detail {

struct Beam {
  std::vector<int> ids;
  double log_probability = 0;
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

/// The bookkeeping of a beam search: which beams run, which have ended, and what may come next.
class BeamSearch {
 public:
  /// `prompt` is what a repetition penalty counts besides a beam's own tokens.
  BeamSearch(const BeamOptions& options, std::span<const int> prompt, int vocab)
      : options_(options), beams_(static_cast<std::size_t>(options.beams)), said_(options.repetition_penalty, vocab) {
    check_range("beam search: beams", options.beams, 1, 1024);
    check_range("beam search: max_new", options.max_new, 1, 1 << 24);
    check_range("beam search: length_penalty", options.length_penalty, -10.0f, 10.0f);
    check_range("beam search: repetition_penalty", options.repetition_penalty, 0.01f, 100.0f);
    said_.observe(prompt);
  }

  /// Makes every token a candidate to follow running beam `beam`.
  template <class S>
  void consider(std::size_t beam, std::span<const S> logits) {
    check_logits(logits);
    log_softmax(logits, log_p_);
    RepetitionPenalty said = said_;
    said.observe(running_[beam].ids);
    said.apply(log_p_);
    for (std::size_t id = 0; id < log_p_.size(); ++id) {
      candidates_.push_back(
          {running_[beam].log_probability + log_p_[id], static_cast<int>(beam), static_cast<int>(id)});
    }
  }

  /// Extends the beams by the best candidates. False when no beam that runs on can win any more.
  bool advance() {
    ++length_;
    const std::size_t looked_at = std::min(2 * beams_, candidates_.size());
    std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(looked_at),
                      candidates_.end(), better);
    std::vector<Beam> next;
    parents_.clear();
    for (std::size_t rank = 0; rank < looked_at; ++rank) {
      const Candidate& candidate = candidates_[rank];
      if (ends(candidate.id)) {
        if (rank < beams_) finished_.push_back(extended(candidate, penalised(candidate.log_probability)));
      } else if (next.size() < beams_) {
        next.push_back(extended(candidate, candidate.log_probability));
        parents_.push_back(candidate.beam);
      }
    }
    std::stable_sort(finished_.begin(), finished_.end(), better);
    if (finished_.size() > beams_) finished_.resize(beams_);
    candidates_.clear();
    running_ = std::move(next);
    return !running_.empty() && !hopeless();
  }

  /// The beams that run on, best first, and which beam of the step before each one continues.
  const std::vector<Beam>& running() const { return running_; }
  const std::vector<int>& parents() const { return parents_; }
  /// The best answer, once advance() has returned false.
  const std::vector<int>& answer() const { return finished_.front().ids; }

 private:
  struct Candidate {
    double log_probability;
    int beam, id;
  };
  static constexpr auto better = [](const auto& a, const auto& b) { return a.log_probability > b.log_probability; };

  bool ends(int id) const {
    return length_ == options_.max_new ||
           std::find(options_.end_ids.begin(), options_.end_ids.end(), id) != options_.end_ids.end();
  }
  double penalised(double log_probability) const {
    return log_probability / std::pow(static_cast<double>(length_), static_cast<double>(options_.length_penalty));
  }
  Beam extended(const Candidate& candidate, double score) const {
    Beam beam{running_[static_cast<std::size_t>(candidate.beam)].ids, score};
    beam.ids.push_back(candidate.id);
    return beam;
  }
  /// The best beam that runs would, if it ended now, not be among the finished.
  bool hopeless() const {
    return finished_.size() == beams_ &&
           penalised(running_.front().log_probability) <= finished_.back().log_probability;
  }

  const BeamOptions& options_;
  std::size_t beams_;
  int length_ = 0;  // of the running beams
  std::vector<Beam> running_{{}}, finished_;
  std::vector<int> parents_;
  std::vector<Candidate> candidates_;
  std::vector<float> log_p_;
  RepetitionPenalty said_;  // in the prompt
};

}  // namespace detail

/// Continues from `logits`, those after the last token of a prefilled session, and returns the best answer's new
/// tokens, an end id included. `prompt` is what a repetition penalty counts. The session needs room for max_new more
/// tokens.
template <class SessionT, class Logits>
std::vector<int> beam_search(SessionT& session, Logits logits, std::span<const int> prompt,
                             const BeamOptions& options) {
  detail::BeamSearch search(options, prompt, static_cast<int>(logits.size()));
  auto forks = session.fork(options.beams);
  search.consider(0, logits);
  while (search.advance()) {
    forks.reorder(search.parents());
    for (std::size_t beam = 0; beam < search.running().size(); ++beam) {
      search.consider(beam, forks.step(static_cast<int>(beam), search.running()[beam].ids.back()));
    }
  }
  return search.answer();
}

}  // namespace tessera

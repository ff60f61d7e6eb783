#pragma once
/// Choosing the next token from logits. Order and rules of the filters are those of transformers
/// (generation/logits_process.py): repetition penalty, temperature, top-k, top-p, min-p.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/core/random.hpp"

namespace tessera {

struct SamplerOptions {
  float temperature = 0;  ///< 0: greedy, the most likely token
  int top_k = 0;          ///< keep the k most likely; 0 for all
  float top_p = 1;        ///< keep the fewest tokens that together have this probability
  float min_p = 0;        ///< keep tokens at least this likely relative to the most likely one
  float repetition_penalty = 1;
  std::uint64_t seed = 0;
};

/// Throws an Error when a logit is NaN or the largest is not finite: there is no likely token then, and NaN cannot be
/// sorted. −∞ stands for an impossible token.
template <class S>
void check_logits(std::span<const S> logits) {
  bool numbers = true;
  S largest = -std::numeric_limits<S>::infinity();
  for (const S logit : logits) {
    numbers &= logit == logit;
    largest = std::max(largest, logit);
  }
  if (!numbers || !std::isfinite(largest)) fail("the logits are not numbers: one is NaN, or the largest is not finite");
}

/// The tokens that a repetition penalty is for (Keskar et al. 2019, "CTRL"): their scores become less likely by a
/// factor.
class RepetitionPenalty {
 public:
  RepetitionPenalty(float factor, int vocab) : factor_(factor), seen_(static_cast<std::size_t>(vocab), false) {}

  /// Ids outside the vocabulary (image marks) are passed over.
  void observe(std::span<const int> ids) {
    for (const int id : ids) {
      if (id >= 0 && static_cast<std::size_t>(id) < seen_.size()) seen_[static_cast<std::size_t>(id)] = true;
    }
  }
  /// scores: logits or log probabilities, one for each token of the vocabulary.
  void apply(std::span<float> scores) const {
    if (factor_ == 1) return;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (seen_[i]) scores[i] = scores[i] > 0 ? scores[i] / factor_ : scores[i] * factor_;
    }
  }

 private:
  float factor_;
  std::vector<bool> seen_;
};

/// Holds its memory and its random state: the same options and logits give the same tokens on every machine.
class Sampler {
 public:
  Sampler(const SamplerOptions& options, int vocab)
      : options_(options), random_(options.seed), repetition_(options.repetition_penalty, vocab) {
    if (!(options.temperature >= 0) || options.top_k < 0 || !(options.top_p > 0 && options.top_p <= 1) ||
        !(options.min_p >= 0 && options.min_p <= 1) || !(options.repetition_penalty > 0)) {
      fail("sampler: temperature ", options.temperature, " (at least 0), top_k ", options.top_k,
           " (at least 0), top_p ", options.top_p, " (above 0, at most 1), min_p ", options.min_p,
           " (0 to 1), repetition_penalty ", options.repetition_penalty, " (above 0): one is out of range");
    }
    logits_.reserve(static_cast<std::size_t>(vocab));
    order_.reserve(static_cast<std::size_t>(vocab));
  }

  /// Tells the repetition penalty about tokens of the prompt.
  void observe(std::span<const int> ids) { repetition_.observe(ids); }

  /// The next token. Its choice is observed. Throws an Error for logits that are not numbers.
  template <class S>
  int next(std::span<const S> logits) {
    logits_.assign(logits.begin(), logits.end());
    repetition_.apply(logits_);
    check_logits(std::span<const float>(logits_));
    const int id = options_.temperature == 0 ? most_likely() : draw();
    observe({&id, 1});
    return id;
  }

 private:
  int most_likely() const {
    return static_cast<int>(std::max_element(logits_.begin(), logits_.end()) - logits_.begin());
  }

  /// Sorts by likelihood, cuts the tail by each rule, and draws from what is left.
  int draw() {
    order_.resize(logits_.size());
    std::iota(order_.begin(), order_.end(), 0);
    std::sort(order_.begin(), order_.end(), [&](int a, int b) {
      const float la = logits_[static_cast<std::size_t>(a)], lb = logits_[static_cast<std::size_t>(b)];
      return la != lb ? la > lb : a < b;
    });
    if (options_.top_k > 0 && static_cast<std::size_t>(options_.top_k) < order_.size()) {
      order_.resize(static_cast<std::size_t>(options_.top_k));
    }
    cut_top_p();
    cut_min_p();
    double total = 0;
    for (const int id : order_) total += weight(id);
    double left = random_.uniform() * total;
    for (const int id : order_) {
      left -= weight(id);
      if (left < 0) return id;
    }
    return order_.back();
  }

  void cut_top_p() {
    if (options_.top_p >= 1) return;
    double total = 0, kept = 0;
    for (const int id : order_) total += weight(id);
    std::size_t count = 0;
    while (count < order_.size() && kept < options_.top_p * total) kept += weight(order_[count++]);
    order_.resize(std::max<std::size_t>(count, 1));
  }

  void cut_min_p() {
    if (options_.min_p <= 0) return;
    std::size_t count = 1;
    while (count < order_.size() && weight(order_[count]) >= options_.min_p) ++count;
    order_.resize(count);
  }

  /// Probability relative to the most likely token.
  double weight(int id) const {
    const float best = logits_[static_cast<std::size_t>(order_.front())];
    return std::exp((static_cast<double>(logits_[static_cast<std::size_t>(id)]) - best) / options_.temperature);
  }

  SamplerOptions options_;
  SplitMix64 random_;
  RepetitionPenalty repetition_;
  std::vector<float> logits_;
  std::vector<int> order_;
};

}  // namespace tessera

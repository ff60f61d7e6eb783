#pragma once
/// The text-only baseline: the best that can be done without looking.

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>

#include "dataset.hpp"

namespace tessera::scenes {

/// Answers each question with what is most often true where training asks it, and questions that training never asks
/// with the commonest of all answers.
class BestGuess {
 public:
  /// Learns from the questions of all tasks in training scenes of one to three objects.
  explicit BestGuess(std::size_t scenes = 20000) {
    DatasetOptions options;
    options.tasks_per_scene = static_cast<int>(options.tasks.size());
    for_each_sample(options, 0, scenes, [&](const Sample& sample) {
      for (const Turn& turn : sample.turns) ++times_[turn.question][turn.answer], ++times_[""][turn.answer];
    });
  }

  const std::string& answer(const std::string& question) const {
    const auto found = times_.find(question);
    const std::map<std::string, int>& times = found == times_.end() ? times_.at("") : found->second;
    return std::max_element(times.begin(), times.end(),
                            [](const auto& a, const auto& b) { return a.second < b.second; })
        ->first;
  }

 private:
  std::map<std::string, std::map<std::string, int>> times_;  ///< of each answer, by question; "" stands for all
};

}  // namespace tessera::scenes

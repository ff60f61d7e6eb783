#pragma once
// How far the losses of a training run are from those of the same run in float64.

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "catch.hpp"

namespace tessera::test {

class LossDistance {
 public:
  /// `step` has the loss in float64.
  void add(double loss, const nlohmann::json& step) {
    const double difference = loss - step["loss_float64"].get<double>();
    largest_ = std::max(largest_, std::abs(difference));
    squares_ += difference * difference;
    ++steps_;
  }
  double largest() const { return largest_; }
  double mean() const { return std::sqrt(squares_ / steps_); }  // root of the mean square

 private:
  double largest_ = 0, squares_ = 0;
  int steps_ = 0;
};

/// As near to float64 as PyTorch's float32 is. Both round, each in its own order, so either may be the nearer one.
inline void check_as_near(const LossDistance& ours, const LossDistance& theirs) {
  INFO("distance to the run in float64: " << ours.mean() << ", PyTorch's in float32: " << theirs.mean());
  CHECK(ours.mean() <= 1.1 * theirs.mean());
  INFO("largest: " << ours.largest() << ", PyTorch's: " << theirs.largest());
  CHECK(ours.largest() <= 1.1 * theirs.largest());
}

}  // namespace tessera::test

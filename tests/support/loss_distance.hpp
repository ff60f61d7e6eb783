#pragma once
// How far the losses of a training run are from those of the same run in float64.

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

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

}  // namespace tessera::test

#pragma once

#include <span>

namespace tessera {

/// Rows of several sequences (or images) that lie one after the other in a matrix, without padding. Attention stays
/// within each, and positions start anew.
class Sequences {
 public:
  /// `count` sequences of `length` rows.
  Sequences(int count, int length) : count_(count), length_(length) {}
  /// Sequence i is rows ends[i − 1] (0 for the first) to ends[i]; `ends` must outlive this object.
  explicit Sequences(std::span<const int> ends) : count_(static_cast<int>(ends.size())), ends_(ends.data()) {}

  int count() const { return count_; }
  int begin(int i) const { return ends_ == nullptr ? i * length_ : i == 0 ? 0 : ends_[i - 1]; }
  int length(int i) const { return begin(i + 1) - begin(i); }
  int rows() const { return begin(count_); }
  int longest() const {
    int result = 0;
    for (int i = 0; i < count_; ++i) result = length(i) > result ? length(i) : result;
    return result;
  }

 private:
  int count_;
  int length_ = 0;
  const int* ends_ = nullptr;
};

}  // namespace tessera

#pragma once
/// What the kernel tests share: memory for kernels, and the helpers of all tests.

#include <cstddef>
#include <cstring>
#include <vector>

#include "tessera/kernel/kernels.hpp"

#include "support/isas.hpp"
#include "support/random.hpp"

namespace tessera::test {

/// Memory aligned to 64 bytes, filled with NaN: a kernel that uses what it was not given fails.
class AlignedFloats {
 public:
  explicit AlignedFloats(std::size_t count) : lines_((count + 15) / 16 + 1) {
    std::memset(static_cast<void*>(lines_.data()), 0xff, lines_.size() * sizeof(Line));
  }
  float* data() { return lines_.front().numbers; }

 private:
  struct alignas(64) Line {
    float numbers[16];
  };
  std::vector<Line> lines_;
};

}  // namespace tessera::test

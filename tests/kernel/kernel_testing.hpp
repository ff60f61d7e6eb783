#pragma once
/// What the kernel tests share: reproducible numbers, aligned memory, bit comparison, the levels of this CPU.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "tessera/kernel/kernels.hpp"

namespace tessera::kernel_testing {

inline std::vector<Isa> available_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512})
    if (isa <= detected_isa()) isas.push_back(isa);
  return isas;
}

/// `count` numbers of mean 0 and deviation 1.
inline std::vector<float> random_numbers(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(count);
  for (float& number : numbers) number = normal(generator);
  return numbers;
}

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

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace tessera::kernel_testing

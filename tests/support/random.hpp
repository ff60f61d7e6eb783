#pragma once
// Reproducible numbers.

#include <cstddef>
#include <random>
#include <vector>

namespace tessera::test {

/// `count` numbers of mean 0 and deviation 1.
inline std::vector<float> random_numbers(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(count);
  for (float& number : numbers) number = normal(generator);
  return numbers;
}

}  // namespace tessera::test

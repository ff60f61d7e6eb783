#pragma once
/// The order in which training visits its samples. Equal to the reference's for the same seed.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"

namespace tessera::train {

/// As the file has them, shuffled, or shuffled so that a batch holds samples of about the same length and of one kind.
enum class Order { given, shuffle, length_grouped };

/// Names of the enumerators, in their order.
inline constexpr std::array<std::string_view, 3> order_names = {"given", "shuffle", "length-grouped"};

/// `torch.randperm(count)` on a CPU: the same numbers from a generator in the same state. torch.manual_seed(seed) puts
/// torch's into the state of `std::mt19937(seed)`. Holds for fewer than 2^32 / 20 elements; torch draws 64 bits for
/// more.
inline std::vector<int> random_permutation(int count, std::mt19937& generator) {
  std::vector<int> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = 0; i + 1 < order.size(); ++i) std::swap(order[i], order[i + generator() % (order.size() - i)]);
  return order;
}

namespace detail {

/// Cuts `samples` into pieces of `size`, the last one shorter.
inline std::vector<std::vector<int>> cut(const std::vector<int>& samples, std::size_t size) {
  std::vector<std::vector<int>> pieces;
  for (std::size_t begin = 0; begin < samples.size(); begin += size) {
    const auto first = samples.begin() + static_cast<std::ptrdiff_t>(begin);
    pieces.emplace_back(first, first + static_cast<std::ptrdiff_t>(std::min(size, samples.size() - begin)));
  }
  return pieces;
}

inline void append(std::vector<int>& samples, const std::vector<int>& more) {
  samples.insert(samples.end(), more.begin(), more.end());
}

/// Deals samples out to `count` batches of nearly the same total length: each goes to the shortest one that is not yet
/// full. LLaVA's `split_to_even_chunks`, the batches joined. Samples that do not divide evenly are dealt out in turn.
inline std::vector<int> deal_evenly(const std::vector<int>& samples, std::span<const int> lengths, std::size_t count) {
  std::vector<std::vector<int>> batches(count);
  if (samples.size() % count != 0) {
    for (std::size_t i = 0; i < samples.size(); ++i) batches[i % count].push_back(samples[i]);
  } else {
    constexpr std::int64_t full = std::numeric_limits<std::int64_t>::max();
    std::vector<std::int64_t> totals(count, 0);
    for (const int sample : samples) {
      const auto shortest = std::min_element(totals.begin(), totals.end());
      std::vector<int>& batch = batches[static_cast<std::size_t>(shortest - totals.begin())];
      batch.push_back(sample);
      *shortest = batch.size() == samples.size() / count ? full : *shortest + lengths[static_cast<std::size_t>(sample)];
    }
  }
  std::vector<int> joined;
  for (const std::vector<int>& batch : batches) append(joined, batch);
  return joined;
}

}  // namespace detail

/// A random order in which each `count` batches of `batch` samples (a megabatch) are sorted by falling length and dealt
/// out evenly. `get_length_grouped_indices` of llava/train/llava_trainer.py with `world_size` = `count`.
inline std::vector<int> length_grouped_order(std::span<const int> lengths, int batch, int count,
                                             std::mt19937& generator) {
  const auto longer = [&](int a, int b) {
    return lengths[static_cast<std::size_t>(a)] > lengths[static_cast<std::size_t>(b)];
  };
  std::vector<int> order;
  const std::vector<int> shuffled = random_permutation(static_cast<int>(lengths.size()), generator);
  for (std::vector<int>& megabatch : detail::cut(shuffled, static_cast<std::size_t>(batch) * count)) {
    std::stable_sort(megabatch.begin(), megabatch.end(), longer);
    detail::append(order, detail::deal_evenly(megabatch, lengths, static_cast<std::size_t>(count)));
  }
  return order;
}

/// The same with samples of either kind apart: lengths are positive with an image and negative of text alone. Only the
/// last megabatch mixes what is left of both. `get_modality_length_grouped_indices` of llava/train/llava_trainer.py
/// with torch's default generator. Throws an Error for a length of 0.
inline std::vector<int> modality_grouped_order(std::span<const int> lengths, int batch, int count,
                                               std::mt19937& generator) {
  std::array<std::vector<int>, 2> samples, sizes;  // with an image, of text alone
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] == 0) fail("sample ", i, ": length 0 found, expected a positive or negative length");
    const std::size_t kind = lengths[i] > 0 ? 0 : 1;
    samples[kind].push_back(static_cast<int>(i));
    sizes[kind].push_back(std::abs(lengths[i]));
  }
  if (samples[0].empty() || samples[1].empty()) return length_grouped_order(lengths, batch, count, generator);

  std::vector<std::vector<int>> megabatches;
  std::vector<int> rest;
  for (const std::size_t kind : {0, 1}) {
    std::vector<int> order = length_grouped_order(sizes[kind], batch, count, generator);
    for (int& sample : order) sample = samples[kind][static_cast<std::size_t>(sample)];
    auto pieces = detail::cut(order, static_cast<std::size_t>(batch) * count);
    detail::append(rest, pieces.back());
    megabatches.insert(megabatches.end(), pieces.begin(), pieces.end() - 1);
  }
  std::vector<int> order;
  for (const int megabatch : random_permutation(static_cast<int>(megabatches.size()), generator))
    detail::append(order, megabatches[static_cast<std::size_t>(megabatch)]);
  std::sort(rest.begin(), rest.end());
  detail::append(order, rest);
  return order;
}

/// Which samples each optimizer step takes, for step 0, 1, … through as many epochs as wanted. A function of its
/// arguments alone: a resumed run asks for the next step and nothing needs to be stored.
///
/// Epoch e is drawn with the seed `seed` + e, as accelerate's SeedableRandomSampler does. The last step of an epoch
/// takes what is left.
class SampleOrder {
 public:
  /// `lengths`: of each sample, in words or ids, negative for text alone (LLaVA's `modality_lengths`); `given` and
  /// `shuffle` only count them. A step takes `accumulate` batches of `batch` samples.
  SampleOrder(Order order, std::vector<int> lengths, int batch, int accumulate, std::uint64_t seed)
      : order_(order), lengths_(std::move(lengths)), batch_(batch), accumulate_(accumulate), seed_(seed) {
    if (lengths_.empty()) fail("the data set has no sample");
    if (batch < 1 || accumulate < 1)
      fail("a step of ", accumulate, " batches of ", batch, " samples, expected at least 1 of 1");
    draw(0);
  }

  std::int64_t steps_per_epoch() const {
    const auto size = static_cast<std::int64_t>(lengths_.size());
    return (size + step_size() - 1) / step_size();
  }

  /// How many samples a step takes.
  std::size_t count(std::int64_t step) const {
    return std::min(static_cast<std::size_t>(step_size()), lengths_.size() - begin(step));
  }

  /// Indices of the samples of a step; valid until the next call.
  std::span<const int> samples(std::int64_t step) {
    if (step / steps_per_epoch() != epoch_) draw(step / steps_per_epoch());
    return std::span<const int>(epoch_order_).subspan(begin(step), count(step));
  }

 private:
  std::int64_t step_size() const { return std::int64_t{batch_} * accumulate_; }
  /// Where a step begins in its epoch.
  std::size_t begin(std::int64_t step) const {
    return static_cast<std::size_t>(step % steps_per_epoch() * step_size());
  }

  void draw(std::int64_t epoch) {
    epoch_ = epoch;
    // The generator of torch takes the low 32 bits.
    std::mt19937 generator(static_cast<std::uint32_t>(seed_ + static_cast<std::uint64_t>(epoch)));
    switch (order_) {
      case Order::given:
        epoch_order_.resize(lengths_.size());
        std::iota(epoch_order_.begin(), epoch_order_.end(), 0);
        break;
      case Order::shuffle:
        epoch_order_ = random_permutation(static_cast<int>(lengths_.size()), generator);
        break;
      case Order::length_grouped:
        epoch_order_ = modality_grouped_order(lengths_, batch_, accumulate_, generator);
        break;
    }
  }

  Order order_;
  std::vector<int> lengths_;
  int batch_, accumulate_;
  std::uint64_t seed_;
  std::int64_t epoch_ = 0;
  std::vector<int> epoch_order_;
};

}  // namespace tessera::train

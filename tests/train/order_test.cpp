#include "tessera/train/order.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <numeric>
#include <random>
#include <span>
#include <vector>

#include "tessera/io/json.hpp"

#include "catch.hpp"

using namespace tessera::train;
using tessera::io::json;
using tessera::test::contains;
using Indices = std::vector<int>;

namespace {

std::mt19937 seeded(const json& one) {
  return std::mt19937(static_cast<std::uint32_t>(one["seed"].get<std::uint64_t>()));
}

/// All samples of an epoch, step after step.
Indices epoch_of(SampleOrder& order, std::int64_t epoch) {
  Indices samples;
  for (std::int64_t step = 0; step < order.steps_per_epoch(); ++step) {
    const std::span<const int> some = order.samples(epoch * order.steps_per_epoch() + step);
    samples.insert(samples.end(), some.begin(), some.end());
  }
  return samples;
}

Indices taken(SampleOrder& order, std::int64_t step) {
  const std::span<const int> samples = order.samples(step);
  return {samples.begin(), samples.end()};
}

}  // namespace

TEST_CASE("Orders are those of torch and of LLaVA's trainer", "[order]") {
  const std::filesystem::path data(TESSERA_TEST_DATA);
  int permutations = 0, grouped = 0;
  for (const json& one : tessera::io::read_json_file(data / "training" / "orders.json")) {
    CAPTURE(one.dump());
    std::mt19937 generator = seeded(one);
    if (one["kind"] == "randperm") {
      for (const json& order : one["orders"]) {  // one after the other from the same generator
        CHECK(random_permutation(static_cast<int>(order.size()), generator) == order.get<Indices>());
        ++permutations;
      }
    } else {
      const auto lengths = one["lengths"].get<Indices>();
      const int batch = one["batch"].get<int>(), count = one["count"].get<int>();
      CHECK(modality_grouped_order(lengths, batch, count, generator) == one["order"].get<Indices>());
      SampleOrder order(Order::length_grouped, lengths, batch, count, one["seed"].get<std::uint64_t>());
      CHECK(epoch_of(order, 0) == one["order"].get<Indices>());
      ++grouped;
    }
  }
  CHECK(permutations == 9);
  CHECK(grouped == 7);
}

TEST_CASE("Every epoch visits each sample once, in an order of its own", "[order]") {
  const Indices lengths = {3, -4, 5, 9, -2, 7, 7, 1, -8, 2, 6};
  for (const Order kind : {Order::given, Order::shuffle, Order::length_grouped}) {
    SampleOrder order(kind, lengths, 2, 2, 5);
    CHECK(order.steps_per_epoch() == 3);
    const Indices first = epoch_of(order, 0), second = epoch_of(order, 1);
    Indices sorted = first, all(lengths.size());
    std::iota(all.begin(), all.end(), 0);
    std::ranges::sort(sorted);
    CHECK(sorted == all);
    CHECK((first == all) == (kind == Order::given));
    CHECK((first == second) == (kind == Order::given));
    CHECK(order.samples(2).size() == 3);  // the rest
    CHECK(order.samples(3).size() == 4);
    CHECK((order.count(2) == 3 && order.count(3) == 4));
  }
  SampleOrder shuffled(Order::shuffle, lengths, 4, 1, 5);
  std::mt19937 next_seed(6);
  CHECK(epoch_of(shuffled, 1) == random_permutation(11, next_seed));
}

TEST_CASE("A resumed run takes the same samples", "[order]") {
  Indices lengths(23);
  for (std::size_t i = 0; i < lengths.size(); ++i)
    lengths[i] = i % 3 == 0 ? -1 - static_cast<int>(i) : 1 + static_cast<int>(i);
  SampleOrder through(Order::length_grouped, lengths, 2, 2, 9);
  for (std::int64_t step = 0; step < 30; ++step) {
    const Indices samples = taken(through, step);
    SampleOrder resumed(Order::length_grouped, lengths, 2, 2, 9);
    CHECK(taken(resumed, step) == samples);
  }
  CHECK(taken(through, 1) != taken(through, 7));
}

TEST_CASE("Grouped batches hold one kind and similar lengths", "[order]") {
  std::mt19937 generator(1);
  Indices lengths;
  for (int i = 0; i < 400; ++i) lengths.push_back((i % 4 == 0 ? -1 : 1) * (1 + static_cast<int>(generator() % 100)));
  SampleOrder order(Order::length_grouped, lengths, 4, 5, 3);
  int mixed = 0;
  for (std::int64_t step = 0; step < order.steps_per_epoch(); ++step) {
    const Indices samples = taken(order, step);
    const auto texts = std::ranges::count_if(samples, [&](int i) { return lengths[static_cast<std::size_t>(i)] < 0; });
    mixed += texts != 0 && texts != static_cast<std::ptrdiff_t>(samples.size()) ? 1 : 0;
    if (texts != 0) continue;
    // The totals of the five batches.
    std::vector<int> totals;
    for (std::size_t i = 0; i < samples.size(); i += 4) {
      totals.push_back(0);
      for (std::size_t k = i; k < i + 4; ++k) totals.back() += lengths[static_cast<std::size_t>(samples[k])];
    }
    const auto [least, most] = std::ranges::minmax(totals);
    CHECK(most - least <= 100);
  }
  CHECK(mixed <= 2);  // what is left of both kinds, 40 samples at most
}

TEST_CASE("Orders without samples are refused", "[order]") {
  CHECK_THROWS_WITH(SampleOrder(Order::given, {}, 1, 1, 0), contains("no sample"));
  CHECK_THROWS_WITH(SampleOrder(Order::given, {1}, 0, 1, 0), contains("expected at least 1"));
  CHECK_THROWS_WITH(SampleOrder(Order::length_grouped, {1, 0}, 1, 1, 0), contains("sample 1") && contains("length 0"));
}

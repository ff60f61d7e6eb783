#include "tessera/io/prefetch.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "catch.hpp"

using tessera::io::Prefetcher;

namespace {

/// Items take turns at being slow, so that threads overtake each other.
void take_a_while(std::size_t item) { std::this_thread::sleep_for(std::chrono::microseconds(item * 7919 % 300)); }

}  // namespace

TEST_CASE("Results come in order, whatever the threads do", "[prefetch]") {
  for (const int threads : {0, 1, 2, 7}) {
    for (const std::size_t capacity : {0, 1, 3, 50}) {
      Prefetcher<std::string> items(60, threads, capacity, [](std::size_t item) {
        take_a_while(item);
        return std::to_string(item);
      });
      for (int item = 0; item < 60; ++item) REQUIRE(items.next() == std::to_string(item));
      CHECK(items.next() == std::nullopt);
      CHECK(items.next() == std::nullopt);
    }
  }
  Prefetcher<int> nothing(0, 2, 2, [](std::size_t) { return 1; });
  CHECK(nothing.next() == std::nullopt);
}

TEST_CASE("No more is loaded ahead than asked for", "[prefetch]") {
  constexpr std::size_t capacity = 4;
  std::atomic<std::size_t> started = 0, taken = 0;
  std::atomic<bool> too_far = false;
  Prefetcher<int> items(200, 3, capacity, [&](std::size_t item) {
    // The item that is being handed out may be counted a moment later.
    if (++started > taken + capacity + 1) too_far = true;
    take_a_while(item);
    return static_cast<int>(item);
  });
  for (int item = 0; item < 200; ++item) {
    REQUIRE(items.next() == item);
    ++taken;
  }
  CHECK_FALSE(too_far);
  CHECK(started == 200);
}

TEST_CASE("An exception reaches the consumer at its item", "[prefetch]") {
  Prefetcher<int> items(20, 3, 5, [](std::size_t item) {
    take_a_while(item);
    if (item % 6 == 2) throw std::runtime_error("item " + std::to_string(item));
    return static_cast<int>(item);
  });
  for (int item = 0; item < 20; ++item) {
    if (item % 6 == 2) {
      CHECK_THROWS_WITH(items.next(), "item " + std::to_string(item));
    } else {
      CHECK(items.next() == item);
    }
  }
  CHECK(items.next() == std::nullopt);
}

TEST_CASE("A prefetcher can go while its threads work or wait", "[prefetch]") {
  std::atomic<int> finished = 0;
  for (const int taken : {0, 1, 5}) {
    Prefetcher<std::unique_ptr<int>> items(1'000'000'000, 4, 8, [&](std::size_t item) {
      take_a_while(item);
      ++finished;
      return std::make_unique<int>(static_cast<int>(item));
    });
    for (int item = 0; item < taken; ++item) CHECK(**items.next() == item);
  }
  const int at_the_end = finished;
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  CHECK(finished == at_the_end);
}

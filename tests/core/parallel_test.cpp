#include "tessera/core/parallel.hpp"

#include <atomic>
#include <string>
#include <vector>

#include "tessera/core/error.hpp"

#include "catch.hpp"
#include "support/errors.hpp"

using namespace tessera;

TEST_CASE("every element is in exactly one piece, and pieces start on a grain") {
  for (const int threads : {1, 2, 3, 7}) {
    for (const int count : {0, 1, 5, 16, 33}) {
      for (const int grain : {1, 4}) {
        std::vector<std::atomic<int>> hits(static_cast<std::size_t>(count));
        std::atomic<bool> aligned{true};
        parallel_for(threads, count, grain, [&](int begin, int end, int thread) {
          if (begin % grain != 0 || thread >= threads) aligned = false;
          for (int i = begin; i < end; ++i) ++hits[static_cast<std::size_t>(i)];
        });
        CHECK(aligned);
        for (const auto& hit : hits) CHECK(hit == 1);
      }
    }
  }
}

TEST_CASE("the exception of the lowest piece leaves the loop, after all pieces have ended") {
  for (const int threads : {1, 2, 3, 7}) {
    CAPTURE(threads);
    std::atomic<int> calls{0};
    const auto loop = [&](int first_bad) {
      parallel_for(threads, 100, 1, [&](int begin, int end, int) {
        ++calls;
        for (int i = begin; i < end; ++i)
          if (i >= first_bad) fail("element ", i);
      });
    };
    CHECK_NOTHROW(loop(100));
    const int pieces = calls;
    for (const int first_bad : {0, 40, 99})
      CHECK(test::error_message([&] { loop(first_bad); }) == "element " + std::to_string(first_bad));
    CHECK(calls == 4 * pieces);
  }
}

TEST_CASE("an exception in one piece only, and of any type, leaves the loop") {
  for (const int thrower : {0, 1, 2})
    CHECK_THROWS_AS(parallel_for(3, 3, 1,
                                 [&](int begin, int, int) {
                                   if (begin == thrower) throw begin;
                                 }),
                    int);
}

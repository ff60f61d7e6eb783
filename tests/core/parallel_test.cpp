#include "tessera/core/parallel.hpp"

#include <atomic>
#include <vector>

#include "catch.hpp"

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

#include <algorithm>
#include <cmath>
#include <limits>

#include "catch.hpp"
#include "kernel/kernel_testing.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

/// One head: queries, keys and values side by side in rows, as in a fused QKV buffer.
struct Head {
  Head(int query_count, int keys, int dim, bool is_causal)
      : queries(query_count),
        key_count(keys),
        head_dim(dim),
        causal(is_causal),
        qkv(random_numbers(std::size_t(keys) * 3 * dim, 1)),
        packed_keys(packed_keys_floats(dim, keys + 5)),
        packed_values(packed_values_floats(dim, keys + 5)) {}

  int stride() const { return 3 * head_dim; }
  const float* query(int i) const { return qkv.data() + std::size_t(key_count - queries + i) * stride(); }

  void pack(Isa isa, int begin, int end) {
    PackHeadArgs pack{.source = qkv.data() + head_dim,
                      .source_stride = stride(),
                      .head_dim = head_dim,
                      .key_begin = begin,
                      .key_end = end,
                      .capacity = key_count + 5,
                      .packed = packed_keys.data()};
    kernels(isa).pack_keys(pack);
    pack.source += head_dim;
    pack.packed = packed_values.data();
    kernels(isa).pack_values(pack);
  }

  /// Attention of the `rows` queries from `first` on, which are the last of `keys` keys; computes [begin, end) of them.
  void attend(Isa isa, int first, int rows, int keys, int begin, int end, float* y) {
    AlignedFloats scratch(attention_scratch_floats(head_dim, keys));
    kernels(isa).attend({.q = query(first),
                         .q_stride = stride(),
                         .keys = packed_keys.data(),
                         .values = packed_values.data(),
                         .capacity = key_count + 5,
                         .key_count = keys,
                         .head_dim = head_dim,
                         .queries = rows,
                         .causal = causal,
                         .scale = scale(),
                         .y = y,
                         .y_stride = head_dim,
                         .query_begin = begin,
                         .query_end = end,
                         .scratch = scratch.data()});
  }
  std::vector<float> attend(Isa isa) {
    pack(isa, 0, key_count);
    std::vector<float> y(std::size_t(queries) * head_dim);
    attend(isa, 0, queries, key_count, 0, queries, y.data());
    return y;
  }

  float scale() const { return 1.0f / std::sqrt(static_cast<float>(head_dim)); }

  std::vector<double> in_double(int i) const {
    const int visible = causal ? key_count - queries + i + 1 : key_count;
    std::vector<double> weights, y(std::size_t(head_dim), 0.0);
    double highest = -1e300, total = 0;
    for (int j = 0; j < visible; ++j) {
      double score = 0;
      for (int d = 0; d < head_dim; ++d) score += double(query(i)[d]) * qkv[std::size_t(j) * stride() + head_dim + d];
      weights.push_back(score / std::sqrt(double(head_dim)));
      highest = std::max(highest, weights.back());
    }
    for (double& weight : weights) total += weight = std::exp(weight - highest);
    for (int j = 0; j < visible; ++j)
      for (int d = 0; d < head_dim; ++d) y[d] += weights[j] / total * qkv[std::size_t(j) * stride() + 2 * head_dim + d];
    return y;
  }

  int queries, key_count, head_dim;
  bool causal;
  std::vector<float> qkv;
  AlignedFloats packed_keys, packed_values;
};

}  // namespace

TEST_CASE("attention agrees with a softmax in double") {
  struct Shape {
    int queries, keys, head_dim;
  };
  for (const Isa isa : available_isas())
    for (const bool causal : {false, true})
      for (const auto& [queries, keys, head_dim] : {Shape{1, 1, 10},
                                                    {1, 17, 12},
                                                    {2, 2, 64},
                                                    {7, 7, 80},
                                                    {9, 33, 88},
                                                    {25, 31, 104},
                                                    {64, 64, 16},
                                                    {577, 577, 64},
                                                    {3, 1100, 20},
                                                    {50, 2100, 64}}) {
        if (isa == Isa::scalar && queries > 500) continue;
        CAPTURE(name_of(isa), causal, queries, keys, head_dim);
        Head head(queries, keys, head_dim, causal);
        const std::vector<float> y = head.attend(isa);
        double worst = 0;
        for (int i = 0; i<queries; i += queries> 100 ? 19 : 1) {
          const std::vector<double> expected = head.in_double(i);
          for (int d = 0; d < head_dim; ++d)
            worst = std::max(worst, std::fabs(y[std::size_t(i) * head_dim + d] - expected[d]));
        }
        REQUIRE(worst < 4e-6);
      }
}

TEST_CASE("a query's attention has the same bits in every block, split and prefill") {
  for (const Isa isa : available_isas())
    for (const int head_dim : {12, 64}) {
      Head head(61, 90, head_dim, true);
      const std::vector<float> whole = head.attend(isa);
      for (const int step : {1, 2, 5, 7, 24, 30}) {
        std::vector<float> split(whole.size());
        for (int begin = 0; begin < head.queries; begin += step)
          head.attend(isa, 0, head.queries, head.key_count, begin, std::min(head.queries, begin + step), split.data());
        REQUIRE(same_bits(split, whole));
      }
      // Token by token, with a growing cache.
      Head cached(61, 90, head_dim, true);
      std::vector<float> decoded(whole.size());
      cached.pack(isa, 0, 29);
      for (int i = 0; i < head.queries; ++i) {
        cached.pack(isa, 29 + i, 30 + i);
        cached.attend(isa, i, 1, 30 + i, 0, 1, decoded.data() + i * head_dim);
      }
      REQUIRE(same_bits(decoded, whole));
    }
}

TEST_CASE("a decoding query's attention has the bits of a prefill, for any share of the heads") {
  struct Shape {
    int keys, head_dim, kv_heads, group;
  };
  for (const Isa isa : available_isas())
    for (const auto& [keys, head_dim, kv_heads, group] :
         {Shape{1, 10, 2, 1}, {15, 64, 2, 1}, {49, 80, 3, 2}, {100, 88, 1, 11}, {1100, 20, 2, 3}, {2100, 128, 1, 1}}) {
      CAPTURE(name_of(isa), keys, head_dim, kv_heads, group);
      const int heads = kv_heads * group, kv_width = kv_heads * head_dim;
      const std::vector<float> q = random_numbers(std::size_t(heads) * head_dim, 1),
                               kv = random_numbers(std::size_t(keys) * 2 * kv_width, 2);
      const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));

      std::vector<float> expected(q.size());
      AlignedFloats packed_keys(packed_keys_floats(head_dim, keys)),
          packed_values(packed_values_floats(head_dim, keys)), scratch(attention_scratch_floats(head_dim, keys));
      for (int head = 0; head < heads; ++head) {
        const float* source = kv.data() + head / group * head_dim;
        kernels(isa).pack_keys({source, 2 * kv_width, head_dim, 0, keys, keys, packed_keys.data()});
        kernels(isa).pack_values({source + kv_width, 2 * kv_width, head_dim, 0, keys, keys, packed_values.data()});
        kernels(isa).attend({.q = q.data() + head * head_dim,
                             .keys = packed_keys.data(),
                             .values = packed_values.data(),
                             .capacity = keys,
                             .key_count = keys,
                             .head_dim = head_dim,
                             .queries = 1,
                             .scale = scale,
                             .y = expected.data() + head * head_dim,
                             .query_end = 1,
                             .scratch = scratch.data()});
      }

      for (const int step : {1, 2, heads}) {
        std::vector<float> y(q.size());
        for (int head = 0; head < heads; head += step) {
          AlignedFloats decode_scratch(decode_attention_scratch_floats(head_dim, keys));
          kernels(isa).attend_decode({.q = q.data(),
                                      .keys = kv.data(),
                                      .keys_stride = 2 * kv_width,
                                      .values = kv.data() + kv_width,
                                      .values_stride = 2 * kv_width,
                                      .key_count = keys,
                                      .head_dim = head_dim,
                                      .group = group,
                                      .scale = scale,
                                      .y = y.data(),
                                      .head_begin = head,
                                      .head_end = std::min(heads, head + step),
                                      .scratch = decode_scratch.data()});
        }
        REQUIRE(same_bits(y, expected));
      }
    }
}

TEST_CASE("scores of any size are safe in attention") {
  for (const Isa isa : available_isas()) {
    Head head(6, 20, 16, false);
    for (float& number : head.qkv) number *= 1e4f;  // exponents far below the range of a float
    for (const float value : head.attend(isa)) CHECK(std::isfinite(value));
    head.qkv[std::size_t(14 + 2) * head.stride()] = std::numeric_limits<float>::quiet_NaN();
    const std::vector<float> y = head.attend(isa);
    for (int i = 0; i < 6; ++i) CHECK(std::isnan(y[std::size_t(i) * 16 + 3]) == (i == 2));
  }
}

TEST_CASE("AVX2 and AVX-512 give the same attention") {
  if (detected_isa() < Isa::avx512) return;
  for (const bool causal : {false, true}) {
    Head head(70, 1090, 88, causal);
    CHECK(same_bits(head.attend(Isa::avx2), head.attend(Isa::avx512)));
  }
}

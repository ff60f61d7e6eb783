// Body of a target region: V16, sixteen floats that the kernels treat as one value. All targets have the same lanes and
// the same order of operations in reductions.
namespace tessera {
inline namespace TESSERA_COMMAND_LINE_ISA {
namespace kernel::TESSERA_TARGET {

#if TESSERA_TARGET_AVX512

inline constexpr int tile_rows = 8;  ///< rows of the largest GEMM tile
/// Panels that a tile of `rows` rows covers. Even a single row needs several to hide the latency of multiply-adds.
constexpr int tile_panels(int /*rows*/) { return 3; }
inline constexpr int block_panels = 6;  ///< panels whose weights stay in the L2 cache, 64 KiB each in f32

struct V16 {
  __m512 all;
};

TESSERA_INLINE __mmask16 first_lanes(int count) { return static_cast<__mmask16>((1u << count) - 1); }

TESSERA_INLINE V16 zero() { return {_mm512_setzero_ps()}; }
TESSERA_INLINE V16 broadcast(float x) { return {_mm512_set1_ps(x)}; }
TESSERA_INLINE V16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
TESSERA_INLINE void store(float* p, V16 a) { _mm512_storeu_ps(p, a.all); }
TESSERA_INLINE V16 load_masked(const float* p, int count) { return {_mm512_maskz_loadu_ps(first_lanes(count), p)}; }
TESSERA_INLINE void store_masked(float* p, V16 a, int count) { _mm512_mask_storeu_ps(p, first_lanes(count), a.all); }
TESSERA_INLINE V16 load_quads(const float* p, std::ptrdiff_t stride) {
  const auto pair = [&](int quad) {
    const __m256 first = _mm256_castps128_ps256(_mm_loadu_ps(p + quad * stride));
    return _mm256_insertf128_ps(first, _mm_loadu_ps(p + (quad + 1) * stride), 1);
  };
  return {_mm512_insertf32x8(_mm512_castps256_ps512(pair(0)), pair(2), 1)};
}
TESSERA_INLINE void transpose_quads(V16 (&rows)[4]) {
  const __m512 low01 = _mm512_unpacklo_ps(rows[0].all, rows[1].all),
               low23 = _mm512_unpacklo_ps(rows[2].all, rows[3].all);
  const __m512 high01 = _mm512_unpackhi_ps(rows[0].all, rows[1].all),
               high23 = _mm512_unpackhi_ps(rows[2].all, rows[3].all);
  rows[0].all = _mm512_shuffle_ps(low01, low23, 0x44);
  rows[1].all = _mm512_shuffle_ps(low01, low23, 0xee);
  rows[2].all = _mm512_shuffle_ps(high01, high23, 0x44);
  rows[3].all = _mm512_shuffle_ps(high01, high23, 0xee);
}
TESSERA_INLINE V16 load_f16(const void* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
TESSERA_INLINE V16 load_bf16_even(const void* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16))};
}
template <bool /*spare_register*/>
TESSERA_INLINE V16 load_bf16_odd(const void* p) {
  return {
      _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(static_cast<int>(0xffff0000))))};
}

TESSERA_INLINE V16 operator+(V16 a, V16 b) { return {_mm512_add_ps(a.all, b.all)}; }
TESSERA_INLINE V16 operator-(V16 a, V16 b) { return {_mm512_sub_ps(a.all, b.all)}; }
TESSERA_INLINE V16 operator*(V16 a, V16 b) { return {_mm512_mul_ps(a.all, b.all)}; }
TESSERA_INLINE V16 operator/(V16 a, V16 b) { return {_mm512_div_ps(a.all, b.all)}; }
TESSERA_INLINE V16 multiply_add(V16 a, V16 b, V16 c) { return {_mm512_fmadd_ps(a.all, b.all, c.all)}; }
TESSERA_INLINE V16 negative_multiply_add(V16 a, V16 b, V16 c) { return {_mm512_fnmadd_ps(a.all, b.all, c.all)}; }
TESSERA_INLINE V16 min(V16 a, V16 b) { return {_mm512_min_ps(a.all, b.all)}; }
TESSERA_INLINE V16 max(V16 a, V16 b) { return {_mm512_max_ps(a.all, b.all)}; }
TESSERA_INLINE V16 abs(V16 a) { return {_mm512_abs_ps(a.all)}; }
TESSERA_INLINE V16 first_or(V16 a, int count, V16 other) {
  return {_mm512_mask_mov_ps(other.all, first_lanes(count), a.all)};
}
TESSERA_INLINE V16 if_negative(V16 condition, V16 yes, V16 no) {
  return {_mm512_mask_mov_ps(no.all, _mm512_movepi32_mask(_mm512_castps_si512(condition.all)), yes.all)};
}
TESSERA_INLINE V16 zero_if_less(V16 x, V16 limit, V16 a) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.all, limit.all, _CMP_NLT_UQ), a.all)};
}
TESSERA_INLINE V16 power_of_two(V16 shifted) {
  const __m512i bits = _mm512_slli_epi32(_mm512_castps_si512(shifted.all), 23);
  return {_mm512_castsi512_ps(_mm512_add_epi32(bits, _mm512_set1_epi32(0x3f800000)))};
}
TESSERA_INLINE V16 look_up(const float* table, V16 shifted) {
  return {_mm512_permutexvar_ps(_mm512_castps_si512(shifted.all), _mm512_load_ps(table))};
}

#elif TESSERA_TARGET_AVX2

inline constexpr int tile_rows = 6;
constexpr int tile_panels(int rows) { return rows == 1 ? 3 : rows == 2 ? 2 : 1; }
inline constexpr int block_panels = 4;

struct V16 {
  __m256 low, high;
};

struct LaneMask {
  __m256i low, high;
};
TESSERA_INLINE LaneMask first_lanes(int count) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return {_mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane), _mm256_cmpgt_epi32(_mm256_set1_epi32(count - 8), lane)};
}

TESSERA_INLINE V16 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
TESSERA_INLINE V16 broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
TESSERA_INLINE V16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
TESSERA_INLINE void store(float* p, V16 a) {
  _mm256_storeu_ps(p, a.low);
  _mm256_storeu_ps(p + 8, a.high);
}
TESSERA_INLINE V16 load_masked(const float* p, int count) {
  const LaneMask mask = first_lanes(count);
  return {_mm256_maskload_ps(p, mask.low), _mm256_maskload_ps(p + 8, mask.high)};
}
TESSERA_INLINE void store_masked(float* p, V16 a, int count) {
  const LaneMask mask = first_lanes(count);
  _mm256_maskstore_ps(p, mask.low, a.low);
  _mm256_maskstore_ps(p + 8, mask.high, a.high);
}
TESSERA_INLINE V16 load_quads(const float* p, std::ptrdiff_t stride) {
  const auto pair = [&](int quad) {
    const __m256 first = _mm256_castps128_ps256(_mm_loadu_ps(p + quad * stride));
    return _mm256_insertf128_ps(first, _mm_loadu_ps(p + (quad + 1) * stride), 1);
  };
  return {pair(0), pair(2)};
}
TESSERA_INLINE void transpose_quads(__m256& a, __m256& b, __m256& c, __m256& d) {
  const __m256 low_ab = _mm256_unpacklo_ps(a, b), low_cd = _mm256_unpacklo_ps(c, d);
  const __m256 high_ab = _mm256_unpackhi_ps(a, b), high_cd = _mm256_unpackhi_ps(c, d);
  a = _mm256_shuffle_ps(low_ab, low_cd, 0x44);
  b = _mm256_shuffle_ps(low_ab, low_cd, 0xee);
  c = _mm256_shuffle_ps(high_ab, high_cd, 0x44);
  d = _mm256_shuffle_ps(high_ab, high_cd, 0xee);
}
TESSERA_INLINE void transpose_quads(V16 (&rows)[4]) {
  transpose_quads(rows[0].low, rows[1].low, rows[2].low, rows[3].low);
  transpose_quads(rows[0].high, rows[1].high, rows[2].high, rows[3].high);
}
TESSERA_INLINE V16 load_f16(const void* p) {
  const __m128i* halves = static_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
}
TESSERA_INLINE V16 load_bf16_even(const void* p) {
  const __m256i* halves = static_cast<const __m256i*>(p);
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256(halves), 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256(halves + 1), 16))};
}
/// By a mask, or by two shifts: a tile of 6 rows has no register left for the mask.
template <bool spare_register>
TESSERA_INLINE __m256 clear_low_16(__m256i words) {
  if constexpr (spare_register)
    return _mm256_castsi256_ps(_mm256_and_si256(words, _mm256_set1_epi32(static_cast<int>(0xffff0000))));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_srli_epi32(words, 16), 16));
}
template <bool spare_register>
TESSERA_INLINE V16 load_bf16_odd(const void* p) {
  const __m256i* halves = static_cast<const __m256i*>(p);
  return {clear_low_16<spare_register>(_mm256_loadu_si256(halves)),
          clear_low_16<spare_register>(_mm256_loadu_si256(halves + 1))};
}

TESSERA_INLINE V16 operator+(V16 a, V16 b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
TESSERA_INLINE V16 operator-(V16 a, V16 b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
TESSERA_INLINE V16 operator*(V16 a, V16 b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
TESSERA_INLINE V16 operator/(V16 a, V16 b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
TESSERA_INLINE V16 multiply_add(V16 a, V16 b, V16 c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
TESSERA_INLINE V16 negative_multiply_add(V16 a, V16 b, V16 c) {
  return {_mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high)};
}
TESSERA_INLINE V16 min(V16 a, V16 b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
TESSERA_INLINE V16 max(V16 a, V16 b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
TESSERA_INLINE V16 abs(V16 a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
}
TESSERA_INLINE V16 first_or(V16 a, int count, V16 other) {
  const LaneMask mask = first_lanes(count);
  return {_mm256_blendv_ps(other.low, a.low, _mm256_castsi256_ps(mask.low)),
          _mm256_blendv_ps(other.high, a.high, _mm256_castsi256_ps(mask.high))};
}
TESSERA_INLINE V16 if_negative(V16 condition, V16 yes, V16 no) {
  return {_mm256_blendv_ps(no.low, yes.low, condition.low), _mm256_blendv_ps(no.high, yes.high, condition.high)};
}
TESSERA_INLINE V16 zero_if_less(V16 x, V16 limit, V16 a) {
  return {_mm256_and_ps(a.low, _mm256_cmp_ps(x.low, limit.low, _CMP_NLT_UQ)),
          _mm256_and_ps(a.high, _mm256_cmp_ps(x.high, limit.high, _CMP_NLT_UQ))};
}
TESSERA_INLINE __m256 power_of_two(__m256 shifted) {
  const __m256i bits = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(bits, _mm256_set1_epi32(0x3f800000)));
}
TESSERA_INLINE V16 power_of_two(V16 shifted) { return {power_of_two(shifted.low), power_of_two(shifted.high)}; }
TESSERA_INLINE __m256 look_up(const float* table, __m256 shifted) {
  const __m256i index = _mm256_castps_si256(shifted);
  const __m256 first = _mm256_permutevar8x32_ps(_mm256_load_ps(table), index);
  const __m256 second = _mm256_permutevar8x32_ps(_mm256_load_ps(table + 8), index);
  const __m256i bit3_as_sign = _mm256_slli_epi32(index, 28);
  return _mm256_blendv_ps(first, second, _mm256_castsi256_ps(bit3_as_sign));
}
TESSERA_INLINE V16 look_up(const float* table, V16 shifted) {
  return {look_up(table, shifted.low), look_up(table, shifted.high)};
}

#else  // any CPU: four vectors of 16 bytes, as the compilers provide them on every architecture

inline constexpr int tile_rows = 4;
constexpr int tile_panels(int /*rows*/) { return 1; }
inline constexpr int block_panels = 4;

typedef float Float4 __attribute__((vector_size(16)));
typedef std::uint32_t Bits4 __attribute__((vector_size(16)));

struct V16 {
  Float4 part[4];
};

/// The V16 whose part i is function(i).
template <class Function>
TESSERA_INLINE V16 make_parts(Function function) {
  return {{function(0), function(1), function(2), function(3)}};
}

TESSERA_INLINE V16 broadcast(float x) {
  return make_parts([&](int) { return Float4{x, x, x, x}; });
}
TESSERA_INLINE V16 zero() { return broadcast(0); }
TESSERA_INLINE V16 load(const float* p) {
  V16 result;
  std::memcpy(&result, p, sizeof result);
  return result;
}
TESSERA_INLINE void store(float* p, const V16& a) { std::memcpy(p, &a, sizeof a); }
TESSERA_NOINLINE V16 load_masked(const float* p, int count) {
  V16 result = zero();
  std::memcpy(&result, p, static_cast<std::size_t>(count) * sizeof *p);
  return result;
}
TESSERA_INLINE void store_masked(float* p, const V16& a, int count) {
  std::memcpy(p, &a, static_cast<std::size_t>(count) * sizeof *p);
}
TESSERA_INLINE V16 load_quads(const float* p, std::ptrdiff_t stride) {
  return make_parts([&](int quad) {
    Float4 part;
    std::memcpy(&part, p + quad * stride, sizeof part);
    return part;
  });
}
TESSERA_INLINE void transpose_quads(V16 (&rows)[4]) {
  TESSERA_UNROLL for (int quad = 0; quad < 4; ++quad) {
    TESSERA_UNROLL for (int i = 0; i < 4; ++i) {
      TESSERA_UNROLL for (int j = 0; j < i; ++j) {
        const float number = rows[i].part[quad][j];
        rows[i].part[quad][j] = rows[j].part[quad][i];
        rows[j].part[quad][i] = number;
      }
    }
  }
}
TESSERA_NOINLINE V16 load_f16(const void* p) {
  float lane[16];
  for (int i = 0; i < 16; ++i) lane[i] = f16::decode(static_cast<const f16::storage*>(p)[i]);
  return load(lane);
}
TESSERA_INLINE V16 load_bf16_even(const void* p) {
  const V16 words = load(static_cast<const float*>(p));
  return make_parts([&](int i) { return (Float4)((Bits4)words.part[i] << 16); });
}
template <bool /*spare_register*/>
TESSERA_INLINE V16 load_bf16_odd(const void* p) {
  const V16 words = load(static_cast<const float*>(p));
  return make_parts([&](int i) { return (Float4)((Bits4)words.part[i] & 0xffff0000u); });
}

TESSERA_INLINE V16 operator+(const V16& a, const V16& b) {
  return make_parts([&](int i) { return a.part[i] + b.part[i]; });
}
TESSERA_INLINE V16 operator-(const V16& a, const V16& b) {
  return make_parts([&](int i) { return a.part[i] - b.part[i]; });
}
TESSERA_INLINE V16 operator*(const V16& a, const V16& b) {
  return make_parts([&](int i) { return a.part[i] * b.part[i]; });
}
TESSERA_INLINE V16 operator/(const V16& a, const V16& b) {
  return make_parts([&](int i) { return a.part[i] / b.part[i]; });
}
TESSERA_INLINE V16 multiply_add(const V16& a, const V16& b, const V16& c) { return a * b + c; }
TESSERA_INLINE V16 negative_multiply_add(const V16& a, const V16& b, const V16& c) { return c - a * b; }
TESSERA_INLINE V16 min(const V16& a, const V16& b) {
  return make_parts([&](int i) { return a.part[i] < b.part[i] ? a.part[i] : b.part[i]; });
}
TESSERA_INLINE V16 max(const V16& a, const V16& b) {
  return make_parts([&](int i) { return a.part[i] > b.part[i] ? a.part[i] : b.part[i]; });
}
TESSERA_INLINE V16 abs(const V16& a) {
  return make_parts([&](int i) { return (Float4)((Bits4)a.part[i] & 0x7fffffffu); });
}
TESSERA_NOINLINE V16 first_or(const V16& a, int count, const V16& other) {
  V16 result = other;
  std::memcpy(&result, &a, static_cast<std::size_t>(count) * sizeof(float));
  return result;
}
TESSERA_INLINE V16 if_negative(const V16& condition, const V16& yes, const V16& no) {
  return make_parts([&](int i) { return (Bits4)condition.part[i] > 0x7fffffffu ? yes.part[i] : no.part[i]; });
}
TESSERA_INLINE V16 zero_if_less(const V16& x, const V16& limit, const V16& a) {
  return make_parts([&](int i) { return x.part[i] < limit.part[i] ? Float4{} : a.part[i]; });
}
TESSERA_INLINE V16 power_of_two(const V16& shifted) {
  return make_parts([&](int i) { return (Float4)(((Bits4)shifted.part[i] << 23) + 0x3f800000u); });
}
TESSERA_NOINLINE V16 look_up(const float* table, const V16& shifted) {
  std::uint32_t index[16];
  std::memcpy(index, &shifted, sizeof index);
  float lane[16];
  for (int i = 0; i < 16; ++i) lane[i] = table[index[i] % 16];
  return load(lane);
}

#endif

// What the names above mean where it is not obvious:
//   min, max        return b if a or b is NaN, so that max(limit, x) keeps a NaN in x
//   load_masked     the first `count` lanes (0 … 16), zeros in the others; memory behind them is not touched
//   load_quads      quad (four lanes) i from p + i · stride
//   transpose_quads the quads i of four V16 are the rows of a 4 x 4 matrix, which is transposed, for each i
//   first_or        the first `count` lanes of a, the others of `other`
//   if_negative     lane by lane, by the sign bit of `condition`
//   zero_if_less    a, but 0 where x < limit; a NaN in x keeps a
//   load_bf16_even  the numbers 0, 2, 4, … of 32 bf16 numbers
//   load_bf16_odd   the others; faster for who has a register to spare
//   power_of_two, look_up take an integer as `shifted` = integer + shift_to_integer, whose low bits are the integer:
//   2^integer, and table[integer mod 16]

inline constexpr float shift_to_integer = 12582912.0f;  // 1.5 · 2^23

/// Combines the lanes as a tree: lanes 8 apart, then 4, 2, 1.
template <class Combine>
TESSERA_INLINE float reduce(V16 a, Combine combine) {
  alignas(64) float lane[16];
  store(lane, a);
  TESSERA_UNROLL for (int apart = 8; apart > 0; apart /= 2) {
    TESSERA_UNROLL for (int i = 0; i < apart; ++i) lane[i] = combine(lane[i], lane[i + apart]);
  }
  return lane[0];
}
TESSERA_INLINE float reduce_add(V16 a) {
  return reduce(a, [](float x, float y) { return x + y; });
}
TESSERA_INLINE float reduce_max(V16 a) {
  return reduce(a, [](float x, float y) { return x > y ? x : y; });
}

TESSERA_INLINE V16 load_first(const float* p, int count) { return count >= 16 ? load(p) : load_masked(p, count); }
TESSERA_INLINE void store_first(float* p, V16 a, int count) {
  if (count >= 16) return store(p, a);
  store_masked(p, a, count);
}

}  // namespace kernel::TESSERA_TARGET
}  // namespace TESSERA_COMMAND_LINE_ISA
}  // namespace tessera

// Body of a target region: what only the training kernels need of V16.
namespace tessera {
inline namespace TESSERA_COMMAND_LINE_ISA {
namespace kernel::TESSERA_TARGET {

// rounded(a) is a; compilers may not fuse the product that gave it with a later sum.

#if TESSERA_TARGET_AVX512

TESSERA_INLINE V16 sqrt(V16 a) { return {_mm512_sqrt_ps(a.all)}; }
TESSERA_INLINE V16 rounded(V16 a) {
  asm("" : "+v"(a.all));
  return a;
}
TESSERA_INLINE V16 load_bf16(const void* p) {
  const __m256i halves = _mm256_loadu_si256(static_cast<const __m256i*>(p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))};
}

#elif TESSERA_TARGET_AVX2

TESSERA_INLINE V16 sqrt(V16 a) { return {_mm256_sqrt_ps(a.low), _mm256_sqrt_ps(a.high)}; }
TESSERA_INLINE V16 rounded(V16 a) {
  asm("" : "+x"(a.low), "+x"(a.high));
  return a;
}
TESSERA_INLINE V16 load_bf16(const void* p) {
  const __m128i* halves = static_cast<const __m128i*>(p);
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(halves)), 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(halves + 1)), 16))};
}

#else

TESSERA_NOINLINE V16 sqrt(const V16& a) {
  float lane[16];
  store(lane, a);
  for (float& number : lane) number = std::sqrt(number);
  return load(lane);
}
TESSERA_INLINE V16 rounded(V16 a) {
  asm("" : "+m"(a));
  return a;
}
TESSERA_NOINLINE V16 load_bf16(const void* p) {
  std::uint16_t half[16];
  std::memcpy(half, p, sizeof half);
  float lane[16];
  for (int i = 0; i < 16; ++i) lane[i] = bf16::decode(half[i]);
  return load(lane);
}

#endif

}  // namespace kernel::TESSERA_TARGET
}  // namespace TESSERA_COMMAND_LINE_ISA
}  // namespace tessera

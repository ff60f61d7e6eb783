#include "catch.hpp"
#include "kernel/kernel_testing.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

std::vector<std::uint16_t> encode_all(DType type, const std::vector<float>& numbers) {
  std::vector<std::uint16_t> encoded;
  for (const float number : numbers)
    encoded.push_back(type == DType::bf16 ? bf16::encode(number) : f16::encode(number));
  return encoded;
}

/// The number W[column][k] of a packed weight, by the definition of the layout.
float packed_number(DType format, const void* packed, int depth, int column, int k) {
  const std::size_t panel = std::size_t(column / 16), lane = std::size_t(column % 16);
  if (format == DType::bf16) {
    const std::size_t pairs = std::size_t(depth + 1) / 2;
    return bf16::decode(static_cast<const std::uint16_t*>(packed)[((panel * pairs + k / 2) * 16 + lane) * 2 + k % 2]);
  }
  const std::size_t index = (panel * depth + k) * 16 + lane;
  if (format == DType::f16) return f16::decode(static_cast<const std::uint16_t*>(packed)[index]);
  return static_cast<const float*>(packed)[index];
}

float rounded_to(DType type, float number) {
  if (type == DType::bf16) return bf16::decode(bf16::encode(number));
  if (type == DType::f16) return f16::decode(f16::encode(number));
  return number;
}

}  // namespace

TEST_CASE("pack_weight follows the layout for every pair of types, from unaligned memory") {
  for (const DType source_type : {DType::f32, DType::bf16, DType::f16})
    for (const DType format : {DType::f32, DType::bf16, DType::f16})
      for (const int n : {1, 16, 35})
        for (const int k : {1, 2, 63, 64, 131, 256, 387}) {
          CAPTURE(name_of(source_type), name_of(format), n, k);
          const std::vector<float> numbers = random_numbers(std::size_t(n) * k, 1);
          const std::vector<std::uint16_t> halves = encode_all(source_type, numbers);
          const void* aligned = source_type == DType::f32 ? static_cast<const void*>(numbers.data()) : halves.data();
          std::vector<std::byte> file(numbers.size() * size_of(source_type) + 1);
          std::memcpy(file.data() + 1, aligned, file.size() - 1);

          AlignedFloats packed(packed_bytes(format, n, k) / sizeof(float));
          for (int panel = 0; panel < panels_of(n); ++panel)
            pack_weight(format, source_type, file.data() + 1, n, k, packed.data(), panel, panel + 1);

          bool right = true;
          for (int column = 0; column < panels_of(n) * 16; ++column)
            for (int depth = 0; depth < (format == DType::bf16 ? k + k % 2 : k); ++depth) {
              const bool inside = column < n && depth < k;
              const float expected =
                  inside ? rounded_to(format, rounded_to(source_type, numbers[std::size_t(column) * k + depth])) : 0;
              right = right && packed_number(format, packed.data(), k, column, depth) == expected;
            }
          REQUIRE(right);
        }
}

TEST_CASE("pack_weight refuses other types") {
  float number = 0;
  CHECK_THROWS_AS(pack_weight(DType::i8, DType::f32, &number, 1, 1, &number, 0, 1), Error);
  CHECK_THROWS_AS(pack_weight(DType::f32, DType::i32, &number, 1, 1, &number, 0, 1), Error);
  CHECK_THROWS_AS(packed_bytes(DType::f64, 1, 1), Error);
}

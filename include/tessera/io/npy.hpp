#pragma once
/// NumPy's .npy files: one array, C order, little-endian
/// (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).

#include <algorithm>
#include <bit>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "tessera/core/dtype.hpp"
#include "tessera/core/error.hpp"
#include "tessera/io/atomic_file.hpp"
#include "tessera/io/mapped_file.hpp"

namespace tessera::io {

static_assert(std::endian::native == std::endian::little, "array files are little-endian and are used in place");

/// An array inside a mapped file or other memory that it does not own: row-major. An empty shape is a scalar.
struct NpyArray {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;
};

/// Validates the bytes of a .npy file (format 1.0 to 3.0) and gives its array as a view of them. Throws an Error that
/// starts with `where` for a malformed or oversized header, Fortran order, an element type without a DType, a shape
/// that overflows, and data that is shorter or longer than the shape says.
NpyArray parse_npy(std::span<const std::byte> file, std::string_view where);

/// A validated .npy file, mapped.
class NpyFile {
 public:
  /// Throws an Error that names the file, see MappedFile and parse_npy.
  explicit NpyFile(const std::filesystem::path& path) : file_(path), array_(parse_npy(file_.bytes(), path.string())) {}

  const NpyArray& array() const { return array_; }

 private:
  MappedFile file_;
  NpyArray array_;
};

/// Writes an array, whole or not at all. Throws an Error when the data does not fit the shape, when NumPy has no such
/// element type (bf16) and when the file cannot be written.
void write_npy(const std::filesystem::path& path, DType dtype, std::span<const std::int64_t> shape,
               std::span<const std::byte> data);

/// The DType of a C++ number type.
template <class T>
requires std::is_arithmetic_v<T>
constexpr DType dtype_of() {
  if constexpr (std::same_as<T, bool>)
    return DType::boolean;
  else if constexpr (std::same_as<T, float>)
    return DType::f32;
  else if constexpr (std::same_as<T, double>)
    return DType::f64;
  else if constexpr (std::same_as<T, std::uint8_t>)
    return DType::u8;
  else if constexpr (std::same_as<T, std::int8_t>)
    return DType::i8;
  else if constexpr (std::same_as<T, std::int16_t>)
    return DType::i16;
  else if constexpr (std::same_as<T, std::int32_t>)
    return DType::i32;
  else {
    static_assert(std::same_as<T, std::int64_t>, "no DType for this type");
    return DType::i64;
  }
}

/// write_npy of numbers: `write_npy<float>(path, {{rows, cols}}, values)`.
template <class T>
void write_npy(const std::filesystem::path& path, std::span<const std::int64_t> shape, std::span<const T> values) {
  write_npy(path, dtype_of<T>(), shape, std::as_bytes(values));
}

namespace detail {

struct NpyDType {
  std::string_view descr;
  DType dtype;
};

inline constexpr NpyDType npy_dtypes[] = {{"<f4", DType::f32}, {"<f2", DType::f16}, {"<f8", DType::f64},
                                          {"<i8", DType::i64}, {"<i4", DType::i32}, {"<i2", DType::i16},
                                          {"|i1", DType::i8},  {"|u1", DType::u8},  {"|b1", DType::boolean}};

inline constexpr std::string_view npy_magic{"\x93NUMPY", 6};
inline constexpr std::size_t largest_npy_header = 10'000;  // NumPy's own limit

// The bytes of an array; none when a dimension is negative or the strides overflow, which those of an empty array can.
inline std::optional<std::uint64_t> array_bytes(std::span<const std::int64_t> shape, DType dtype) {
  std::int64_t total = static_cast<std::int64_t>(size_of(dtype));
  for (const std::int64_t dim : shape)
    if (dim < 0 || __builtin_mul_overflow(total, std::max<std::int64_t>(dim, 1), &total)) return std::nullopt;
  return std::ranges::count(shape, 0) > 0 ? 0 : static_cast<std::uint64_t>(total);
}

// Reads the header, a Python dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
class NpyHeaderReader {
 public:
  NpyHeaderReader(std::string_view text, std::string_view where) : rest_(text), where_(where) {}

  std::pair<DType, std::vector<std::int64_t>> read() {
    expect("{");
    while (!accept("}")) {
      const std::string_view key = text();
      expect(":");
      if (key == "descr" && !dtype_)
        dtype_ = dtype();
      else if (key == "fortran_order" && !fortran_order_)
        fortran_order_ = boolean();
      else if (key == "shape" && !shape_)
        shape_ = tuple();
      else
        fail(where_, ": unexpected or repeated key '", key.substr(0, 40), "' in the header");
      if (!accept(",")) {
        expect("}");
        break;
      }
    }
    if (rest_.find_first_not_of(" \n") != rest_.npos) fail(where_, ": the header goes on after '}'");
    if (!dtype_ || !fortran_order_ || !shape_)
      fail(where_, ": the header lacks one of 'descr', 'fortran_order' and 'shape'");
    if (*fortran_order_) fail(where_, ": the array is in Fortran order, expected C order");
    return {*dtype_, std::move(*shape_)};
  }

 private:
  bool accept(std::string_view token) {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(' '), rest_.size()));
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  void expect(std::string_view token) {
    if (!accept(token)) fail(where_, ": malformed header, expected ", token, " before '", rest_.substr(0, 20), "'");
  }
  std::string_view text() {
    expect("'");
    const std::string_view result = rest_.substr(0, rest_.find('\''));
    rest_.remove_prefix(result.size());
    expect("'");
    return result;
  }
  bool boolean() {
    if (accept("True")) return true;
    expect("False");
    return false;
  }
  DType dtype() {
    const std::string_view descr = text();
    const auto* found = std::ranges::find(npy_dtypes, descr, &NpyDType::descr);
    if (found == std::end(npy_dtypes)) fail(where_, ": the element type '", descr.substr(0, 40), "' is not supported");
    return found->dtype;
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> result;
    expect("(");
    while (!accept(")")) {
      result.push_back(dimension());
      if (!accept(",")) {
        expect(")");
        break;
      }
    }
    return result;
  }
  std::int64_t dimension() {
    accept("");  // skips blanks
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc{} || value < 0)
      fail(where_, ": malformed shape, expected a dimension at '", rest_.substr(0, 20), "'");
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return value;
  }

  std::string_view rest_;
  std::string_view where_;
  std::optional<DType> dtype_;
  std::optional<bool> fortran_order_;
  std::optional<std::vector<std::int64_t>> shape_;
};

}  // namespace detail

inline NpyArray parse_npy(std::span<const std::byte> file, std::string_view where) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  constexpr std::size_t version_end = detail::npy_magic.size() + 2;
  if (!text.starts_with(detail::npy_magic) || text.size() < version_end) fail(where, ": not a .npy file");
  const int version = std::to_integer<int>(file[detail::npy_magic.size()]);
  if (version < 1 || version > 3) fail(where, ": .npy format ", version, ", expected 1 to 3");

  const std::size_t length_bytes = version == 1 ? 2 : 4;
  const std::size_t header_begin = version_end + length_bytes;
  if (text.size() < header_begin) fail(where, ": the .npy file ends inside the header");
  std::size_t length = 0;
  for (std::size_t i = 0; i < length_bytes; ++i) length |= static_cast<std::size_t>(file[version_end + i]) << (8 * i);
  if (length > detail::largest_npy_header)
    fail(where, ": a header of ", length, " bytes, expected at most ", detail::largest_npy_header);
  if (length > text.size() - header_begin) fail(where, ": the .npy file ends inside the header");

  const std::string_view header = text.substr(header_begin, length);
  if (!std::ranges::all_of(header, [](char c) { return (c >= ' ' && c <= '~') || c == '\n'; }))
    fail(where, ": malformed header, expected printable ASCII");

  NpyArray array;
  std::tie(array.dtype, array.shape) = detail::NpyHeaderReader(header, where).read();
  array.data = file.subspan(header_begin + length);
  const std::optional<std::uint64_t> expected_bytes = detail::array_bytes(array.shape, array.dtype);
  if (!expected_bytes) fail(where, ": the shape overflows");
  if (*expected_bytes != array.data.size())
    fail(where, ": ", array.data.size(), " bytes of data, expected ", *expected_bytes, " for the shape");
  return array;
}

inline void write_npy(const std::filesystem::path& path, DType dtype, std::span<const std::int64_t> shape,
                      std::span<const std::byte> data) {
  const auto* found = std::ranges::find(detail::npy_dtypes, dtype, &detail::NpyDType::dtype);
  if (found == std::end(detail::npy_dtypes)) fail(path.string(), ": NumPy has no type for ", name_of(dtype));
  if (detail::array_bytes(shape, dtype) != data.size())
    fail(path.string(), ": ", data.size(), " bytes of ", name_of(dtype), " do not fit the shape");

  std::string header = "{'descr': '" + std::string(found->descr) + "', 'fortran_order': False, 'shape': (";
  for (std::size_t i = 0; i < shape.size(); ++i) header += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  header += shape.size() == 1 ? ",), }" : "), }";  // (3) would be a number in Python
  // With magic, version and length the header is a multiple of 64 bytes and ends with a newline.
  constexpr std::size_t preamble = detail::npy_magic.size() + 4;
  header.resize((preamble + header.size() + 1 + 63) / 64 * 64 - preamble - 1, ' ');
  header += '\n';
  if (header.size() > detail::largest_npy_header) fail(path.string(), ": an array of ", shape.size(), " dimensions");
  const auto length = static_cast<std::uint16_t>(header.size());

  AtomicFile file(path);
  file.write(detail::npy_magic);
  file.write(std::string_view("\x01\x00", 2));
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  file.write(data);
  file.commit();
}

}  // namespace tessera::io

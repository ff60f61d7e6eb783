#pragma once
/// The safetensors format: a JSON header and the raw tensors. Files are validated fully before anything is handed out.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/dtype.hpp"
#include "tessera/core/error.hpp"
#include "tessera/io/atomic_file.hpp"
#include "tessera/io/json.hpp"
#include "tessera/io/mapped_file.hpp"
#include "tessera/io/problem_list.hpp"

namespace tessera::io {

static_assert(std::endian::native == std::endian::little, "tensor files are little-endian and are used in place");

/// A tensor inside a mapped file or other memory that it does not own: row-major, little-endian, perhaps unaligned
/// (read elements with memcpy). An empty shape is a scalar, one element.
struct TensorView {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;
};

/// What a safetensors file holds.
struct SafetensorsContent {
  std::vector<TensorView> tensors;                              ///< sorted by name
  std::map<std::string, std::string, std::less<>> unsupported;  ///< tensors of other dtypes: name → dtype
  std::map<std::string, std::string> metadata;
};

/// Validates the bytes of a safetensors file and lists its tensors as views of them. Throws one Error that starts with
/// `where` and lists every offending tensor. Stricter than the reference reader: duplicate names and unknown fields are
/// errors as well.
SafetensorsContent parse_safetensors(std::span<const std::byte> file, std::string_view where);

/// A validated safetensors file, mapped.
class SafetensorsFile {
 public:
  /// Throws an Error that names the file, see MappedFile and parse_safetensors.
  explicit SafetensorsFile(const std::filesystem::path& path)
      : path_(path), file_(path), content_(parse_safetensors(file_.bytes(), path.string())) {}

  const std::filesystem::path& path() const { return path_; }
  const std::map<std::string, std::string>& metadata() const { return content_.metadata; }

  /// The names of all tensors, sorted.
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const TensorView& tensor : content_.tensors) result.push_back(tensor.name);
    for (const auto& [name, dtype] : content_.unsupported) result.push_back(name);
    std::ranges::sort(result);
    return result;
  }

  /// The tensor, or nullptr when the file has none of that name. Throws when its dtype is not one of DType.
  const TensorView* find(std::string_view name) const {
    const auto tensor = std::ranges::lower_bound(content_.tensors, name, {}, &TensorView::name);
    if (tensor != content_.tensors.end() && tensor->name == name) return &*tensor;
    if (const auto other = content_.unsupported.find(name); other != content_.unsupported.end())
      fail(path_.string(), ": tensor ", in_quotes(name), ": dtype ", other->second, " is not supported");
    return nullptr;
  }

  /// Gives back the memory of a tensor of this file, see MappedFile::release.
  void release(const TensorView& tensor) const { file_.release(tensor.data); }

 private:
  std::filesystem::path path_;
  MappedFile file_;
  SafetensorsContent content_;
};

namespace detail {

struct SafetensorsDType {
  std::string_view name;
  int bits;
  std::optional<DType> dtype;  // none: valid in a file, but not supported
};

inline constexpr SafetensorsDType safetensors_dtypes[] = {
    {"F32", 32, DType::f32}, {"BF16", 16, DType::bf16},
    {"F16", 16, DType::f16}, {"F64", 64, DType::f64},
    {"I64", 64, DType::i64}, {"I32", 32, DType::i32},
    {"I16", 16, DType::i16}, {"I8", 8, DType::i8},
    {"U8", 8, DType::u8},    {"BOOL", 8, DType::boolean},
    {"U16", 16, {}},         {"U32", 32, {}},
    {"U64", 64, {}},         {"C64", 64, {}},
    {"F8_E4M3", 8, {}},      {"F8_E5M2", 8, {}},
    {"F8_E8M0", 8, {}},      {"F8_E4M3FNUZ", 8, {}},
    {"F8_E5M2FNUZ", 8, {}},  {"F6_E2M3", 6, {}},
    {"F6_E3M2", 6, {}},      {"F4", 4, {}},
};

inline constexpr std::uint64_t largest_safetensors_header = 100'000'000;

// The bytes of a tensor; none when a dimension is negative, the number overflows or packed elements end inside a byte.
inline std::optional<std::uint64_t> stored_bytes(const std::vector<std::int64_t>& shape, int bits) {
  std::uint64_t total = 1;
  for (const std::int64_t dim : shape)
    if (dim < 0 || __builtin_mul_overflow(total, static_cast<std::uint64_t>(dim), &total)) return std::nullopt;
  if (__builtin_mul_overflow(total, static_cast<std::uint64_t>(bits), &total) || total % 8 != 0) return std::nullopt;
  return total / 8;
}

// The JSON text of the header: between the length field and the data.
inline std::string_view safetensors_header(std::span<const std::byte> file, std::string_view where) {
  std::uint64_t length = 0;
  if (file.size() < sizeof length)
    fail(where, ": not a safetensors file: ", file.size(), " bytes found, expected at least ", sizeof length);
  std::memcpy(&length, file.data(), sizeof length);
  if (length > largest_safetensors_header)
    fail(where, ": not a safetensors file: a header of ", length, " bytes, expected at most ",
         largest_safetensors_header);
  if (length > file.size() - sizeof length)
    fail(where, ": the header of ", length, " bytes ends outside the file of ", file.size(), " bytes");
  const std::string_view header(reinterpret_cast<const char*>(file.data()) + sizeof length, length);
  if (!header.starts_with('{')) fail(where, ": not a safetensors file: the header does not begin with '{'");
  if (header[header.find_last_not_of(' ')] != '}')
    fail(where, ": the header does not end with '}' and padding of spaces");
  return header;
}

inline const SafetensorsDType& safetensors_dtype(std::string_view name, std::string_view where) {
  const auto* found = std::ranges::find(safetensors_dtypes, name, &SafetensorsDType::name);
  if (found == std::end(safetensors_dtypes)) fail(where, ": dtype ", in_quotes(name), " is unknown");
  return *found;
}

// A part of the data section.
struct SafetensorsRange {
  std::uint64_t begin, end;
  std::string name;
  auto operator<=>(const SafetensorsRange&) const = default;
};

inline SafetensorsRange safetensors_range(const std::string& name, const json& entry, std::uint64_t data_size,
                                          std::string_view where) {
  const auto offsets = require<std::vector<std::uint64_t>>(entry, "data_offsets", where);
  if (offsets.size() != 2) fail(where, ": data_offsets has ", offsets.size(), " numbers, expected 2");
  if (offsets[0] > offsets[1]) fail(where, ": data_offsets begins at ", offsets[0], " after its end ", offsets[1]);
  if (offsets[1] > data_size)
    fail(where, ": data_offsets ends at byte ", offsets[1], ", but the file has ", data_size, " bytes of data");
  return {offsets[0], offsets[1], name};
}

// Adds one entry of the header to `content`.
inline void add_safetensors_entry(const json& entry, const SafetensorsRange& range, std::span<const std::byte> data,
                                  std::string_view where, SafetensorsContent& content) {
  for (const auto& [key, value] : entry.items())
    if (key != "dtype" && key != "shape" && key != "data_offsets") fail(where, ": unknown field ", in_quotes(key));
  const SafetensorsDType& dtype = safetensors_dtype(require<std::string>(entry, "dtype", where), where);
  auto shape = require<std::vector<std::int64_t>>(entry, "shape", where);
  const std::string described = std::string(dtype.name) + " of shape " + in_quotes(entry["shape"].dump());
  const auto expected_bytes = stored_bytes(shape, dtype.bits);
  if (!expected_bytes) fail(where, ": ", described, " has no valid size: negative, overflowing or inside a byte");
  if (*expected_bytes != range.end - range.begin)
    fail(where, ": ", range.end - range.begin, " bytes of data, expected ", *expected_bytes, " for ", described);
  if (dtype.dtype)
    content.tensors.push_back(
        {range.name, *dtype.dtype, std::move(shape), data.subspan(range.begin, range.end - range.begin)});
  else
    content.unsupported.emplace(range.name, dtype.name);
}

inline std::map<std::string, std::string> safetensors_metadata(const json& object, std::string_view where) {
  if (!object.is_object()) fail(where, ": expected a JSON object");
  std::map<std::string, std::string> result;
  for (const auto& [key, value] : object.items()) result.emplace(key, json_as<std::string>(value, where));
  return result;
}

// The tensors must follow each other without holes or overlaps, from the first byte of the data to the last.
inline void check_safetensors_layout(std::vector<SafetensorsRange> ranges, std::uint64_t data_size,
                                     ProblemList& problems) {
  std::ranges::sort(ranges);
  std::uint64_t end = 0;
  for (const SafetensorsRange& range : ranges) {
    if (range.begin != end)
      problems.add("tensor " + in_quotes(range.name) + ": its data begins at byte " + std::to_string(range.begin) +
                   ", expected " + std::to_string(end) + (range.begin < end ? " (overlap)" : " (hole)"));
    end = std::max(end, range.end);
  }
  if (end != data_size)
    problems.add("the tensors end at byte " + std::to_string(end) + ", but the file has " + std::to_string(data_size) +
                 " bytes of data");
}

inline std::string safetensors_header_text(const std::filesystem::path& path,
                                           const std::vector<const TensorView*>& tensors,
                                           const std::map<std::string, std::string>& metadata) try {
  std::set<std::string_view> names{"__metadata__"};
  std::uint64_t offset = 0;
  std::string text = metadata.empty() ? "{" : "{\"__metadata__\":" + json(metadata).dump();
  for (const TensorView* tensor : tensors) {
    const std::string where = path.string() + ": tensor " + in_quotes(tensor->name);
    if (!names.insert(tensor->name).second) fail(where, ": this name is reserved or given twice");
    const auto* dtype = std::ranges::find(safetensors_dtypes, std::optional(tensor->dtype), &SafetensorsDType::dtype);
    const std::string shape = json(tensor->shape).dump();
    const std::optional<std::uint64_t> expected_bytes = stored_bytes(tensor->shape, dtype->bits);
    if (expected_bytes != tensor->data.size())
      fail(where, ": ", tensor->data.size(), " bytes of data do not fit ", dtype->name, " of shape ", shape);
    if (text.size() > 1) text += ',';
    const std::uint64_t end = offset + tensor->data.size();
    text += json(tensor->name).dump() + ":{\"dtype\":\"" + std::string(dtype->name) + "\",\"shape\":" + shape +
            ",\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(end) + "]}";
    offset = end;
  }
  return text + "}";
} catch (const json::exception& error) {
  fail(path.string(), ": a name or the metadata is not UTF-8: ", readable_reason(error.what()));
}

}  // namespace detail

inline SafetensorsContent parse_safetensors(std::span<const std::byte> file, std::string_view where) {
  const std::string_view header_text = detail::safetensors_header(file, where);
  const std::span<const std::byte> data = file.subspan(sizeof(std::uint64_t) + header_text.size());
  // Three levels: the header, a tensor, its shape.
  const json header = parse_json(header_text, where, {.bytes = detail::largest_safetensors_header, .depth = 3});

  SafetensorsContent content;
  ProblemList problems;
  std::vector<detail::SafetensorsRange> ranges;
  std::size_t tensor_count = 0;
  for (const auto& [name, entry] : header.items()) {
    const bool is_metadata = name == "__metadata__";
    const std::string where_entry = is_metadata ? name : "tensor " + in_quotes(name);
    tensor_count += is_metadata ? 0 : 1;
    try {
      if (is_metadata) {
        content.metadata = detail::safetensors_metadata(entry, where_entry);
      } else {
        ranges.push_back(detail::safetensors_range(name, entry, data.size(), where_entry));
        detail::add_safetensors_entry(entry, ranges.back(), data, where_entry, content);
      }
    } catch (const Error& error) {
      problems.add(error.what());
    }
  }
  // Where an entry has no valid range, the holes that it leaves are no further problems.
  if (ranges.size() == tensor_count) detail::check_safetensors_layout(std::move(ranges), data.size(), problems);
  problems.throw_if_any(where);
  return content;
}

/// Writes a safetensors file, whole or not at all. Tensors are ordered by descending element size, then name, as the
/// reference writer does. Throws an Error for a duplicate or reserved name, data that does not fit a shape, text that
/// is not UTF-8, and when the file cannot be written.
inline void write_safetensors(const std::filesystem::path& path, std::span<const TensorView> tensors,
                              const std::map<std::string, std::string>& metadata = {}) {
  std::vector<const TensorView*> ordered;
  for (const TensorView& tensor : tensors) ordered.push_back(&tensor);
  std::ranges::sort(ordered, [](const TensorView* a, const TensorView* b) {
    return std::pair(size_of(b->dtype), std::string_view(a->name)) <
           std::pair(size_of(a->dtype), std::string_view(b->name));
  });

  std::string header = detail::safetensors_header_text(path, ordered, metadata);
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = header.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  for (const TensorView* tensor : ordered) file.write(tensor->data);
  file.commit();
}

}  // namespace tessera::io

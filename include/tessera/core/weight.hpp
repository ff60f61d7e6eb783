#pragma once
/// Weights: shaped, typed places for parameters that own no memory.

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "tessera/core/dims.hpp"
#include "tessera/core/dtype.hpp"

namespace tessera {

/// How a weight is read, which decides who may keep a copy in another layout.
enum class WeightUse : std::uint8_t {
  matrix,  ///< right operand of a product, y = x Wᵀ: an Ops may pack it
  table,   ///< rows are looked up
  vector,  ///< bias, norm gain: always f32
};

/// A weight as the ops see it: no template argument is left, so kernels are compiled once.
struct WeightView {
  const void* data = nullptr;  ///< row-major rows × cols elements; null if absent, or held only by the Ops
  DType dtype = DType::f32;
  int rows = 0;
  int cols = 0;
  std::uint32_t id = 0;  ///< 0: nothing attached

  explicit operator bool() const { return id != 0; }
};

/// A format that is chosen at run time, as `dyn` is a dimension chosen at run time.
struct any_format {};

namespace detail {

template <class Format>
struct FormatTag {
  explicit FormatTag(DType) {}
  static constexpr DType dtype() { return Format::dtype; }
};
template <>
struct FormatTag<any_format> {
  explicit FormatTag(DType type) : dtype_(type) {}
  DType dtype() const { return dtype_; }

 private:
  DType dtype_;
};

// Several threads may load models. The builtin of g++ and clang, as <atomic> takes a tenth of the time to parse core.
inline std::uint32_t next_weight_id() {
  static std::uint32_t counter = 0;
  return __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED);
}

}  // namespace detail

/// A parameter of shape [Rows, Cols] stored as `Format` (a type such as `bf16`, or `any_format`). Memory belongs to a
/// checkpoint, a WeightStore or an Ops; `attach` points the weight at it.
template <WeightUse Use, class Format, dim Rows, dim Cols>
class Weight {
 public:
  static constexpr WeightUse use = Use;
  static constexpr bool is_weight = true;

  Weight(int rows, int cols, DType dtype = DType::f32) : rows_(rows), cols_(cols), format_(dtype) {}

  int rows() const { return rows_.value(); }
  int cols() const { return cols_.value(); }
  std::size_t size() const { return static_cast<std::size_t>(rows()) * cols(); }
  std::size_t bytes() const { return size() * size_of(dtype()); }
  DType dtype() const { return format_.dtype(); }
  const void* data() const { return data_; }
  /// The shape that a file must have.
  std::vector<std::int64_t> file_shape() const {
    if (Use == WeightUse::vector) return {cols()};
    return {rows(), cols()};
  }

  /// Points at `data` (row-major, in this weight's format), which must outlive the weight's use. Null means that the
  /// Ops holds the only copy.
  void attach(const void* data) {
    data_ = data;
    id_ = detail::next_weight_id();
  }
  /// Becomes another name of the same values and the same gradient.
  template <class Other>
  void share(const Other& other) {
    if (other.rows() != rows() || other.cols() != cols() || other.dtype() != dtype())
      fail("weights of different shapes or formats cannot be tied");
    data_ = other.view().data;
    id_ = other.view().id;
  }
  WeightView view() const { return {data_, dtype(), rows(), cols(), id_}; }
  operator WeightView() const { return view(); }

 private:
  [[no_unique_address]] Extent<Rows> rows_;
  [[no_unique_address]] Extent<Cols> cols_;
  [[no_unique_address]] detail::FormatTag<Format> format_;
  const void* data_ = nullptr;
  std::uint32_t id_ = 0;
};

/// [out, in], right operand of y = x Wᵀ.
template <class Format, dim Out, dim In>
using Matrix = Weight<WeightUse::matrix, Format, Out, In>;

/// [entries, width], read row by row.
template <class Format, dim Entries, dim Width>
using Table = Weight<WeightUse::table, Format, Entries, Width>;

/// A bias or a gain of `Size` floats.
template <dim Size>
class Vector : public Weight<WeightUse::vector, any_format, 1, Size> {
 public:
  explicit Vector(int size) : Weight<WeightUse::vector, any_format, 1, Size>(1, size) {}
  const float* values() const { return static_cast<const float*>(this->data()); }
};

template <class T>
concept IsWeight = std::remove_cvref_t<T>::is_weight;

}  // namespace tessera

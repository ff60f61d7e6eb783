#pragma once
/// The workspace of a forward pass: memory is taken by moving a mark and given back by moving it to where it was.
///
/// How large must it be? Run the very same code once with a counting arena: it hands out no memory, every op returns
/// before it touches data, and `peak()` is the answer. So sizes are written once, where the memory is taken.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "tessera/core/error.hpp"
#include "tessera/core/memory.hpp"
#include "tessera/core/tensor.hpp"

namespace tessera {

class Arena {
 public:
  /// A counting arena.
  Arena() = default;
  /// A real one of that many bytes (the `peak()` of a counting pass).
  explicit Arena(std::size_t bytes) : memory_(bytes), counting_(false) {}

  /// True during the counting pass: pointers must not be followed.
  bool counting() const { return counting_; }
  /// The most bytes that were in use at one time.
  std::size_t peak() const { return peak_; }
  std::size_t used() const { return used_; }
  /// Bytes that a real arena has.
  std::size_t size() const { return memory_.size(); }

  /// `count` uninitialised elements, aligned to a cache line. Throws Error when a real arena is too small.
  template <class T>
  T* take(std::size_t count) {
    const std::size_t begin = used_;
    used_ += (count * sizeof(T) + alignment - 1) / alignment * alignment;
    peak_ = std::max(peak_, used_);
    if (counting_) return reinterpret_cast<T*>(alignment + begin);  // not null, and never followed
    if (used_ > memory_.size()) {
      fail("the workspace of ", memory_.size(), " bytes is too small for ", used_,
           ": raise the limits (images, tokens) that it was planned for");
    }
    return reinterpret_cast<T*>(memory_.data() + begin);
  }

  /// An uninitialised matrix. Rows start an odd number of cache lines apart, so that a column of a wide matrix does
  /// not fall into a few cache sets.
  template <class T>
  Mat<T> mat(int rows, int cols) {
    constexpr int line = alignment / sizeof(T);
    const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>((cols + line - 1) / line | 1) * line;
    return {take<T>(static_cast<std::size_t>(rows) * stride), rows, cols, stride};
  }

  /// Gives everything taken during its life back.
  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), mark_(arena.used_) {}
    ~Scope() { arena_.used_ = mark_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    std::size_t mark_;
  };

 private:
  static constexpr std::size_t alignment = 64;
  Buffer memory_;
  bool counting_ = true;
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
};

}  // namespace tessera

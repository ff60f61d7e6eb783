#pragma once
/// The workspace of a forward pass: memory is taken by moving a mark and given back by moving it to where it was.
///
/// What a backward pass will read must outlive the layer that computed it. It is taken from the other end of the
/// memory, so that temporaries can still be given back in the reverse order.
///
/// How large must it be? Run the very same code once with a counting arena: it hands out no memory, every op returns
/// before it touches data, and `peak()` is the answer. So sizes are written once, where the memory is taken.

#include <cstddef>
#include <cstdint>

#include "tessera/core/error.hpp"
#include "tessera/core/memory.hpp"
#include "tessera/core/tensor.hpp"

namespace tessera {

/// How long a matrix in an arena lives: to the end of the enclosing scope, or until the backward pass has read it.
enum class Lifetime : bool { scope, backward };
constexpr Lifetime kept_if(bool wanted) { return wanted ? Lifetime::backward : Lifetime::scope; }

class Arena {
  static constexpr std::size_t alignment = 64;

 public:
  /// A counting arena.
  Arena() = default;
  /// A real one of that many bytes (the `peak()` of a counting pass).
  explicit Arena(std::size_t bytes) : memory_(bytes / alignment * alignment), counting_(false) {}

  /// True during the counting pass: pointers must not be followed.
  bool counting() const { return counting_; }
  /// The most bytes that were in use at one time.
  std::size_t peak() const { return peak_; }
  std::size_t used() const { return used_ + kept_; }
  /// Bytes that a real arena has.
  std::size_t size() const { return memory_.size(); }

  /// `count` uninitialised elements, aligned to a cache line. Throws Error when a real arena is too small.
  template <class T>
  T* take(std::size_t count, Lifetime lifetime = Lifetime::scope) {
    const std::size_t bytes = (count * sizeof(T) + alignment - 1) / alignment * alignment, begin = used_;
    (lifetime == Lifetime::scope ? used_ : kept_) += bytes;
    if (used() > peak_) peak_ = used();
    if (counting_) return reinterpret_cast<T*>(alignment + begin);  // not null, and never followed
    if (used() > memory_.size()) {
      fail("the workspace of ", memory_.size(), " bytes is too small for ", used(),
           ": raise the limits (images, tokens) that it was planned for");
    }
    return reinterpret_cast<T*>(memory_.data() + (lifetime == Lifetime::scope ? begin : memory_.size() - kept_));
  }

  /// An uninitialised matrix. Rows start an odd number of cache lines apart, so that a column of a wide matrix does
  /// not fall into a few cache sets.
  template <class T>
  Mat<T> mat(int rows, int cols, Lifetime lifetime = Lifetime::scope) {
    constexpr int line = alignment / sizeof(T);
    const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>((cols + line - 1) / line | 1) * line;
    return {take<T>(static_cast<std::size_t>(rows) * stride, lifetime), rows, cols, stride};
  }
  /// A matrix of zeros.
  template <class T>
  Mat<T> zeros(int rows, int cols, Lifetime lifetime = Lifetime::scope) {
    const Mat<T> m = mat<T>(rows, cols, lifetime);
    if (!counting_) std::fill_n(m.data, static_cast<std::size_t>(rows) * m.stride, T(0));
    return m;
  }

  /// Gives everything of Lifetime::scope taken during its life back.
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
  /// One forward and backward pass: gives back what was kept for the latter as well.
  class PassScope {
   public:
    explicit PassScope(Arena& arena) : arena_(arena), temporaries_(arena), mark_(arena.kept_) {}
    ~PassScope() { arena_.kept_ = mark_; }
    PassScope(const PassScope&) = delete;
    PassScope& operator=(const PassScope&) = delete;

   private:
    Arena& arena_;
    Scope temporaries_;
    std::size_t mark_;
  };

 private:
  Buffer memory_;
  bool counting_ = true;
  std::size_t used_ = 0;  // of Lifetime::scope, from the front
  std::size_t kept_ = 0;  // of Lifetime::backward, from the back
  std::size_t peak_ = 0;
};

}  // namespace tessera

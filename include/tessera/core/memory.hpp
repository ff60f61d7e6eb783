#pragma once
/// Large blocks of memory in huge pages: decoding reads all weights for every token, and 4 KiB pages cost a third of
/// the read bandwidth.

#include <cstddef>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace tessera {

/// Owns one uninitialised block, aligned to 2 MiB when it is large and to 64 bytes otherwise.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t bytes) : size_(bytes) {
    if (bytes == 0) return;
    const std::size_t alignment = alignment_of(bytes), rounded = (bytes + alignment - 1) / alignment * alignment;
    if (rounded < bytes) throw std::bad_alloc();
    data_ = static_cast<std::byte*>(::operator new (rounded, std::align_val_t{alignment}));
#if defined(__linux__)
    if (alignment == huge_page) madvise(data_, rounded, MADV_HUGEPAGE);
#endif
  }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer(std::move(other)).swap(*this);
    return *this;
  }
  ~Buffer() { ::operator delete (data_, std::align_val_t{alignment_of(size_)}); }

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

 private:
  static constexpr std::size_t huge_page = std::size_t{2} << 20;
  static constexpr std::size_t alignment_of(std::size_t bytes) { return bytes >= huge_page ? huge_page : 64; }

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tessera

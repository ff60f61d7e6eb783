#pragma once
/// Counts heap allocations, those of Buffer included, to show that a steady state makes none. Include in exactly one
/// source file of a test program: it replaces the global operator new.

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace tessera::testing {

inline std::atomic<std::size_t> heap_allocations{0};
/// Those of the calling thread.
inline thread_local std::size_t heap_allocations_of_thread = 0;

/// The allocations that `body` makes, on all threads.
template <class Body>
std::size_t count_allocations(Body&& body) {
  const std::size_t before = heap_allocations;
  body();
  return heap_allocations - before;
}

namespace detail {

inline void* counted_allocation(std::size_t size, std::size_t alignment) {
  ++heap_allocations;
  ++heap_allocations_of_thread;
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded != 0 ? rounded : alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace detail
}  // namespace tessera::testing

// Not inlined, or compilers would see malloc and free without their operators and warn.
[[gnu::noinline]] void* operator new(std::size_t size) {
  return tessera::testing::detail::counted_allocation(size, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  return tessera::testing::detail::counted_allocation(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return operator new(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
[[gnu::noinline]] void* operator new[](std::size_t size) { return operator new(size); }
[[gnu::noinline]] void* operator new[](std::size_t size, const std::nothrow_t& tag) noexcept {
  return operator new(size, tag);
}
[[gnu::noinline]] void* operator new[](std::size_t size, std::align_val_t alignment) {
  return operator new(size, alignment);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

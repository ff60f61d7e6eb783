#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "tessera/core/memory.hpp"

namespace tessera {

/// Owns what the weights of a model point at: blocks of memory, and whatever else must live as long (mapped files).
class WeightStore {
 public:
  /// Uninitialised memory that lives as long as the store.
  std::byte* allocate(std::size_t bytes) {
    buffers_.emplace_back(bytes);
    return buffers_.back().data();
  }

  /// Takes an object over; the reference stays valid as long as the store.
  template <class T>
  const T& keep(T object) {
    kept_.push_back(Kept(new const T(std::move(object))));
    return *static_cast<const T*>(kept_.back().get());
  }

 private:
  // Owns an object of any type. Not std::shared_ptr<const void>: <memory> alone takes a fifth of the time to parse
  // core.
  class Kept {
   public:
    template <class T>
    explicit Kept(const T* object)
        : object_(object), destroy_([](const void* kept) { delete static_cast<const T*>(kept); }) {}
    Kept(Kept&& other) noexcept : object_(std::exchange(other.object_, nullptr)), destroy_(other.destroy_) {}
    Kept& operator=(Kept&& other) noexcept {
      std::swap(object_, other.object_);
      std::swap(destroy_, other.destroy_);
      return *this;
    }
    ~Kept() { destroy_(object_); }

    const void* get() const { return object_; }

   private:
    const void* object_;
    void (*destroy_)(const void*);
  };

  std::vector<Buffer> buffers_;
  std::vector<Kept> kept_;
};

}  // namespace tessera

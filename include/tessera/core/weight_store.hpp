#pragma once

#include <cstddef>
#include <memory>
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
    auto owned = std::make_shared<const T>(std::move(object));
    kept_.push_back(owned);
    return *owned;
  }

 private:
  std::vector<Buffer> buffers_;
  std::vector<std::shared_ptr<const void>> kept_;
};

}  // namespace tessera

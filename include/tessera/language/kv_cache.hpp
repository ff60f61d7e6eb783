#pragma once

#include <cstddef>

#include "tessera/core/memory.hpp"
#include "tessera/layer/attention.hpp"

namespace tessera {

/// Keys and values of all decoder blocks for up to `capacity` tokens of one sequence, in one block of memory.
template <class S>
class KvCache {
 public:
  KvCache(int blocks, int capacity, int width) : KvCache(counting(blocks, capacity, width)) {
    memory_ = Buffer(bytes());
  }

  /// A cache without memory for a counting pass (see Arena): its rows must not be followed.
  static KvCache counting(int blocks, int capacity, int width) {
    KvCache cache;
    cache.blocks_ = blocks, cache.capacity_ = capacity, cache.width_ = width;
    return cache;
  }

  int capacity() const { return capacity_; }
  /// Tokens held.
  int size() const { return size_; }
  /// What the memory takes, or would take.
  std::size_t bytes() const { return 2 * sizeof(S) * plane() * static_cast<std::size_t>(blocks_); }

  /// Makes room for `tokens` more. Throws Error when the sequence would outgrow the capacity.
  void grow(int tokens) {
    if (tokens > capacity_ - size_) {
      fail("the sequence of ", size_ + tokens, " tokens is longer than the limit of ", capacity_,
           " that this session was planned for");
    }
    size_ += tokens;
  }
  /// Forgets everything after the first `tokens`.
  void shrink(int tokens) { size_ = tokens < size_ ? tokens : size_; }

  /// Becomes a copy of another cache of the same shape, with which the first `shared` tokens are known to agree.
  void copy_from(const KvCache& other, int shared) {
    size_ = other.size_;
    for (int i = 0; i < blocks_; ++i) {
      const KeyValues<S> from = other.block(i), to = block(i);
      copy(from.keys.rows_at(shared, size_ - shared), to.keys.rows_at(shared, size_ - shared));
      copy(from.values.rows_at(shared, size_ - shared), to.values.rows_at(shared, size_ - shared));
    }
  }

  /// The rows of one block, new ones last.
  KeyValues<S> block(int index) const {
    S* first = reinterpret_cast<S*>(memory_.data());
    if (first == nullptr) first = reinterpret_cast<S*>(alignof(S));  // a counting cache: never followed
    S* keys = first + 2 * plane() * static_cast<std::size_t>(index);
    return {dense(keys, size_, width_), dense(keys + plane(), size_, width_)};
  }

 private:
  KvCache() = default;
  std::size_t plane() const { return static_cast<std::size_t>(capacity_) * static_cast<std::size_t>(width_); }

  int capacity_ = 0, width_ = 0, blocks_ = 0;
  int size_ = 0;
  Buffer memory_;
};

}  // namespace tessera

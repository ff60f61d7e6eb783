#pragma once
/// Loading ahead: threads prepare the next items while the last one is used.

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace tessera::io {

/// Calls `load(0)`, `load(1)`, … on threads of its own and hands the results out in that order. At most `capacity`
/// results wait or are being made. The destructor waits for the calls that run.
///
/// These threads wait for files and decode; arithmetic belongs into parallel_for.
template <class T>
class Prefetcher {
  static_assert(std::is_nothrow_move_constructible_v<T>);

 public:
  /// `load` is called from several threads at once, for the numbers below `count`. At least one thread and a capacity
  /// of one are taken.
  Prefetcher(std::size_t count, int threads, std::size_t capacity, std::function<T(std::size_t)> load)
      : count_(count), load_(std::move(load)), slots_(std::max<std::size_t>(capacity, 1)) {
    for (int i = 0; i < std::max(threads, 1); ++i) {
      threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
    }
  }
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// The next result, waited for; nothing after the last one. Throws what `load` threw for this item; the call after
  /// that gives the next item. For one consumer.
  std::optional<T> next() {
    std::unique_lock lock(mutex_);
    if (taken_ == count_) return std::nullopt;
    Slot& slot = slots_[taken_ % slots_.size()];
    finished_.wait(lock, [&] { return slot.value || slot.error; });
    const std::exception_ptr error = std::exchange(slot.error, nullptr);
    std::optional<T> value = std::exchange(slot.value, std::nullopt);
    ++taken_;
    lock.unlock();
    room_.notify_one();
    if (error) std::rethrow_exception(error);
    return value;
  }

 private:
  /// Where item number i waits: slot i modulo the capacity.
  struct Slot {
    std::optional<T> value;
    std::exception_ptr error;
  };

  void work(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (true) {
      const auto may_start = [&] { return started_ == count_ || started_ < taken_ + slots_.size(); };
      if (!room_.wait(lock, stop, may_start) || started_ == count_ || stop.stop_requested()) return;
      const std::size_t item = started_++;
      lock.unlock();
      Slot made;
      try {
        made.value = load_(item);
      } catch (...) {
        made.error = std::current_exception();
      }
      lock.lock();
      slots_[item % slots_.size()] = std::move(made);
      finished_.notify_one();
    }
  }

  std::size_t count_;
  std::function<T(std::size_t)> load_;
  std::mutex mutex_;
  std::condition_variable_any room_;  // for another item, or no item is left
  std::condition_variable finished_;  // some item
  std::size_t started_ = 0, taken_ = 0;
  std::vector<Slot> slots_;
  std::vector<std::jthread> threads_;  // last: they stop before what they use goes
};

}  // namespace tessera::io

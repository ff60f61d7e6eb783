#pragma once
/// The one place where threads start.

#include <exception>

#include <omp.h>

namespace tessera {

/// All hardware threads that OpenMP offers (OMP_NUM_THREADS).
inline int default_threads() { return omp_get_max_threads(); }

/// Lets libraries that follow OpenMP's setting use `count` threads during its life.
class OpenMpThreads {
 public:
  explicit OpenMpThreads(int count) : before_(omp_get_max_threads()) { omp_set_num_threads(count); }
  ~OpenMpThreads() { omp_set_num_threads(before_); }
  OpenMpThreads(const OpenMpThreads&) = delete;
  OpenMpThreads& operator=(const OpenMpThreads&) = delete;

 private:
  int before_;
};

namespace detail {

/// Carries an exception out of a parallel region, whose threads must not let one escape. Of several it is that of the
/// lowest piece, so that which one does not depend on which thread was faster.
class FirstException {
 public:
  template <class Body>
  void run(int piece, Body&& body) {
    try {
      body();
    } catch (...) {
#pragma omp critical(tessera_first_exception)
      if (exception_ == nullptr || piece < piece_) {
        exception_ = std::current_exception();
        piece_ = piece;
      }
    }
  }
  void rethrow() const {
    if (exception_ != nullptr) std::rethrow_exception(exception_);
  }

 private:
  std::exception_ptr exception_;
  int piece_ = 0;
};

}  // namespace detail

/// Calls `body(begin, end, thread)` for `threads` contiguous pieces of [0, count), each a multiple of `grain` long
/// except the last. Pieces must not share results: what one element computes never depends on the split.
///
/// If `body` throws, the other pieces still run to their end, and then the exception of the lowest piece is thrown
/// here.
template <class Body>
void parallel_for(int threads, int count, int grain, Body&& body) {
  const int grains = (count + grain - 1) / grain;
  const int pieces = threads < grains ? threads : grains;
  if (pieces <= 1) {
    if (count > 0) body(0, count, 0);
    return;
  }
  detail::FirstException exception;
#pragma omp parallel num_threads(pieces)
  {
    const int thread = omp_get_thread_num(), team = omp_get_num_threads();
    const int begin = static_cast<int>(static_cast<long long>(grains) * thread / team) * grain;
    const int end = static_cast<int>(static_cast<long long>(grains) * (thread + 1) / team) * grain;
    if (begin < count) exception.run(thread, [&] { body(begin, end < count ? end : count, thread); });
  }
  exception.rethrow();
}

}  // namespace tessera

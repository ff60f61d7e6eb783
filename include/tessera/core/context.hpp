#pragma once
/// What a forward pass runs with.

#include "tessera/core/arena.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"

namespace tessera {

/// Workspace and thread count: all that an op needs besides its operands.
struct Run {
  Arena& arena;
  int threads = default_threads();
};

/// Threads for a piece of work of so many multiply-adds: a small one is over before a second thread has woken up.
inline int threads_for(const Run& run, double multiply_adds) { return multiply_adds < 1 << 18 ? 1 : run.threads; }

/// Run plus the compute backend. The backend is a policy of the context, not of the layer: one model object runs
/// through every Ops.
template <class OpsT>
struct Context : Run {
  using Ops = OpsT;
  using Scalar = typename OpsT::Scalar;

  /// Throws Error unless there is at least one thread.
  Context(const OpsT& backend, Arena& workspace, int thread_count = default_threads())
      : Run{workspace, thread_count}, ops(backend) {
    if (thread_count < 1) fail(thread_count, " threads, expected at least 1");
  }

  const OpsT& ops;
};

/// An arena as large as `pass(context)` needs, found by a counting pass.
template <class OpsT, class Pass>
Arena plan_workspace(const OpsT& ops, int threads, Pass&& pass) {
  Arena counting;
  Context<OpsT> c(ops, counting, threads);
  pass(c);
  return Arena(counting.peak());
}

}  // namespace tessera

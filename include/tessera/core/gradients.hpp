#pragma once
/// Gradients of the weights that train, and nothing for the others.

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/context.hpp"
#include "tessera/core/memory.hpp"
#include "tessera/core/params.hpp"
#include "tessera/core/tensor.hpp"

namespace tessera {

/// One dense matrix of zeros for each parameter of the given parts of a model, in one block of memory. A weight that
/// two layers share (a tied head) has one gradient.
template <class S>
class Gradients {
 public:
  template <class... Parts>
  explicit Gradients(const Parts&... parts) {
    std::size_t total = 0;
    const auto place = [&](const std::string& name, const auto& weight) {
      if (!weight.view())
        fail("parameter '", name, "' has no values yet: load or initialise the model before its gradients are made");
      const std::size_t id = weight.view().id;
      if (id >= offsets_.size()) offsets_.resize(id + 1, none);
      if (offsets_[id] == none) offsets_[id] = std::exchange(total, total + weight.size());
    };
    (for_each_trainable_param(place, parts), ...);
    memory_ = Buffer(total * sizeof(S));
    zero();
  }

  /// The gradient of a weight, [rows, cols]. Throws Error if the weight is none of those that train.
  Mat<S> operator()(const WeightView& weight) const {
    const std::size_t offset = weight.id < offsets_.size() ? offsets_[weight.id] : none;
    if (offset == none)
      fail("a weight of [", weight.rows, ", ", weight.cols, "] has no gradient: it is not among the parts that train");
    return dense(values().data() + offset, weight.rows, weight.cols);
  }

  /// All gradients, one parameter after the other.
  std::span<S> values() const { return {reinterpret_cast<S*>(memory_.data()), memory_.size() / sizeof(S)}; }
  void zero() {
    for (S& value : values()) value = S(0);
  }

 private:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  std::vector<std::size_t> offsets_;  // of the weight with the id
  Buffer memory_;
};

/// Context of a backward pass: knows where the gradients of weights go.
template <class OpsT>
struct TrainingContext : Context<OpsT> {
  TrainingContext(const OpsT& backend, Arena& workspace, const Gradients<typename OpsT::Scalar>& weight_gradients,
                  int thread_count = default_threads())
      : Context<OpsT>(backend, workspace, thread_count), gradients(weight_gradients) {}

  const Gradients<typename OpsT::Scalar>& gradients;
};

/// Runs `pass(context)`, forward and backward, in an arena that is made larger first where the pass needs more. The
/// pass is called twice, as the first call counts (see Arena); returns what the second one does.
template <class OpsT, class Pass>
auto run_pass(const OpsT& ops, Arena& arena, const Gradients<typename OpsT::Scalar>& gradients, int threads,
              Pass&& pass) {
  Arena counting;
  TrainingContext<OpsT> plan(ops, counting, gradients, threads);
  pass(plan);
  if (counting.peak() > arena.size()) arena = Arena(counting.peak());
  TrainingContext<OpsT> c(ops, arena, gradients, threads);
  return pass(c);
}

}  // namespace tessera

#pragma once
/// AdamW (Loshchilov & Hutter 2019) as torch.optim.AdamW, with clipping as torch.nn.utils.clip_grad_norm_.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/gradients.hpp"
#include "tessera/kernel/training_kernels.hpp"
#include "tessera/train/stage.hpp"

namespace tessera::train {

/// The defaults are those of LLaVA's scripts.
struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;  ///< not for biases, norms and other vectors
  double clip = 1;          ///< largest global norm of the gradients; 0: no clipping
};

/// Throws Error for options that make no step.
inline void validate(const AdamWOptions& o) {
  const auto is_decay = [](double beta) { return beta >= 0 && beta < 1; };
  if (!is_decay(o.beta1) || !is_decay(o.beta2))
    fail("AdamW: betas of ", o.beta1, " and ", o.beta2, ", expected 0 or more and less than 1");
  if (!(o.epsilon > 0) || !(o.weight_decay >= 0) || !(o.clip >= 0)) {
    fail("AdamW: epsilon ", o.epsilon, ", weight decay ", o.weight_decay, ", clip ", o.clip,
         ": expected a positive epsilon, and nothing below 0");
  }
}

/// A parameter that trains: row-major values with their gradient and moments, all of one size.
struct Parameter {
  std::string name;
  std::vector<std::int64_t> shape;
  std::span<float> values, gradient;
  bool decays = false;
  double rate = 1;  ///< multiplies the learning rate: what makes groups of parameters
  std::span<float> first_moment = {}, second_moment = {};
};

/// Adds a weight with values of its own (own_weight) to a list, once: a head tied to the table is there already.
template <class W>
void add_parameter(std::vector<Parameter>& list, const std::string& name, const W& weight,
                   const Gradients<float>& gradients, double rate = 1) {
  const std::size_t size = weight.size();
  const std::span<float> gradient(gradients(weight).data, size);
  const auto same = [&](const Parameter& p) { return p.gradient.data() == gradient.data(); };
  if (std::any_of(list.begin(), list.end(), same)) return;
  float* values = const_cast<float*>(static_cast<const float*>(weight.data()));  // own_weight allocated them
  list.push_back({name, weight.file_shape(), {values, size}, gradient, W::use != WeightUse::vector, rate});
}

/// All that trains in a stage. `connector_rate` multiplies the connector's learning rate. Steps write where the weights
/// lie: weights that lie in a file need own_trained_weights first, and a backend that keeps copies of them (Native)
/// computes with the old ones until ops::bind_weights.
template <class StageT, class Model>
std::vector<Parameter> trained_parameters(const Model& model, const Gradients<float>& gradients,
                                          double connector_rate = 1) {
  std::vector<Parameter> list;
  for_each_trained_param<StageT>(model, [&](const std::string& name, const auto& weight) {
    add_parameter(list, name, weight, gradients, name.starts_with(slot::Connector::name) ? connector_rate : 1);
  });
  return list;
}

class AdamW {
 public:
  /// The parameters' values and gradients must outlive this object. Throws Error for options that make no step.
  AdamW(std::vector<Parameter> parameters, AdamWOptions options)
      : options_(options), parameters_(std::move(parameters)) {
    validate(options);
    std::size_t size = 0;
    for (const Parameter& p : parameters_) size += p.values.size();
    moments_ = Buffer(2 * size * sizeof(float));
    float* next = reinterpret_cast<float*>(moments_.data());
    std::fill_n(next, 2 * size, 0.0f);
    for (Parameter& p : parameters_) {
      p.first_moment = {next, p.values.size()};
      p.second_moment = {next + size, p.values.size()};
      next += p.values.size();
    }
  }

  std::span<const Parameter> parameters() const { return parameters_; }
  /// Steps taken.
  std::int64_t steps() const { return steps_; }
  void resume(std::int64_t steps) { steps_ = steps; }

  /// The global norm of all gradients.
  double gradient_norm() const {
    double squares = 0;
    for (const Parameter& p : parameters_)
      squares += training_kernels().sum_of_squares(p.gradient.data(), static_cast<std::ptrdiff_t>(p.gradient.size()));
    return std::sqrt(squares);
  }

  /// One step with the gradients at hand, whose norm is gradient_norm(). Moments move with a rate of 0 as well.
  void step(double learning_rate, double norm, int threads = default_threads()) {
    ++steps_;
    const double scale = options_.clip > 0 ? std::min(1.0, options_.clip / (norm + 1e-6)) : 1.0;
    for (const Parameter& p : parameters_) {
      const int blocks = static_cast<int>((p.values.size() + block - 1) / block);
      parallel_for(threads, blocks, 1, [&](int begin, int end, int) {
        const std::size_t first = begin * block, count = std::min(end * block, p.values.size()) - first;
        training_kernels().adamw({.value = p.values.data() + first,
                                  .gradient = p.gradient.data() + first,
                                  .first_moment = p.first_moment.data() + first,
                                  .second_moment = p.second_moment.data() + first,
                                  .count = static_cast<std::ptrdiff_t>(count),
                                  .step = steps_,
                                  .learning_rate = p.rate * learning_rate,
                                  .beta1 = options_.beta1,
                                  .beta2 = options_.beta2,
                                  .epsilon = options_.epsilon,
                                  .weight_decay = p.decays ? options_.weight_decay : 0.0,
                                  .gradient_scale = static_cast<float>(scale)});
      });
    }
  }

 private:
  static constexpr std::size_t block = 1 << 14;

  AdamWOptions options_;
  std::vector<Parameter> parameters_;
  Buffer moments_;
  std::int64_t steps_ = 0;
};

}  // namespace tessera::train

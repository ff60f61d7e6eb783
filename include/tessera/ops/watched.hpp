#pragma once
/// Finds out where numbers stop being numbers.

#include <cmath>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "tessera/core/params.hpp"
#include "tessera/ops/concept.hpp"

namespace tessera::ops {

/// A backend that throws Error at the first op of a forward pass whose result is not finite, with the name of the
/// parameter that the op used, or of the last one before an op without parameters. It is a backend of its own beside
/// the one that loaded the model, so `Base` must not keep copies of weights: they are with the other one.
template <class Base>
requires(!Base::keeps_copies) class Watched : public Base {
 public:
  using S = typename Base::Scalar;

  /// `model`: whose parameters are to be named.
  template <class Model>
  explicit Watched(const Model& model) {
    for_each_param([&](const std::string& path, const auto& weight) { names_[weight.view().id] = path; }, model);
  }

  void linear(Run& run, Mat<const S> x, WeightView w, Epilogue<S> epilogue, Mat<S> y) const {
    Base::linear(run, x, w, epilogue, y);
    check(run, "the product with", w, y);
  }
  void gated(Run& run, Mat<const S> x, WeightView gate, WeightView gate_bias, WeightView up, WeightView up_bias,
             Activation act, Mat<S> y) const {
    Base::gated(run, x, gate, gate_bias, up, up_bias, act, y);
    check(run, "the gated product with", gate, y);
  }
  void attention(Run& run, Mat<const S> q, Mat<const S> k, Mat<const S> v, AttentionShape shape, Mat<S> y) const {
    Base::attention(run, q, k, v, shape, y);
    check(run, "the attention after", {}, y);
  }
  void layer_norm(Run& run, Mat<const S> x, WeightView weight, WeightView bias, float eps, Mat<S> y) const {
    Base::layer_norm(run, x, weight, bias, eps, y);
    check(run, "the norm with", weight, y);
  }
  void rms_norm(Run& run, Mat<const S> x, WeightView weight, float eps, Mat<S> y) const {
    Base::rms_norm(run, x, weight, eps, y);
    check(run, "the norm with", weight, y);
  }
  void activate(Run& run, Activation act, Mat<S> x) const {
    Base::activate(run, act, x);
    check(run, "the activation after", {}, x);
  }
  void gate(Run& run, Activation act, Mat<const S> gate, Mat<const S> up, Mat<S> y) const requires
      requires(const Base& base) {
    base.gate(run, act, gate, up, y);
  }
  {
    Base::gate(run, act, gate, up, y);
    check(run, "the gate after", {}, y);
  }
  void lookup(Run& run, std::span<const int> ids, WeightView table, Mat<S> y) const {
    Base::lookup(run, ids, table, y);
    check(run, "the rows of", table, y);
  }

 private:
  void check(Run& run, const char* what, WeightView w, Mat<S> y) const {
    if (run.arena.counting()) return;
    if (const auto found = names_.find(w.id); found != names_.end()) last_ = found->second;
    for (int r = 0; r < y.rows; ++r) {
      for (int k = 0; k < y.cols; ++k) {
        if (!std::isfinite(y(r, k))) fail(what, " '", last_, "' is the first result that is not finite");
      }
    }
  }

  std::unordered_map<std::uint32_t, std::string> names_;
  mutable std::string last_ = "nothing";
};

}  // namespace tessera::ops

#pragma once
// What a LLaVA computes for an image and a prompt, for comparing backends.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/params.hpp"
#include "tessera/model/llava.hpp"
#include "tessera/model/session.hpp"
#include "tessera/testing/approx.hpp"

namespace tessera::test {

template <class S>
struct Outputs {
  std::vector<S> hidden, features, logits;  // logits of every prompt token
  bool operator==(const Outputs&) const = default;
};

template <class S>
std::vector<S> values(Mat<const S> m) {
  std::vector<S> result(static_cast<std::size_t>(m.rows) * m.cols);
  copy<S>(m, dense(result.data(), m.rows, m.cols));
  return result;
}

/// The outputs for one image and a prompt; the last `steps` ids are fed one at a time.
template <class OpsT, class S = typename OpsT::Scalar>
Outputs<S> outputs(const OpsT& ops, const Llava15<>& model, std::span<const float> pixels, std::span<const int> ids,
                   int threads, int prefill_chunk, std::size_t steps = 0) {
  const int tokens = static_cast<int>(ids.size()), vocab = model.language.vocab();
  Session session(model, ops, {.images = 1, .tokens = tokens, .prefill_chunk = prefill_chunk}, threads);
  session.encode(pixels);
  Outputs<S> result{values(session.vision_hidden()), values(session.image_features()), {}};
  result.logits.resize(ids.size() * static_cast<std::size_t>(vocab));
  const std::size_t prefilled = ids.size() - steps;
  session.prefill(ids.first(prefilled), {}, dense(result.logits.data(), static_cast<int>(prefilled), vocab));
  for (std::size_t i = prefilled; i < ids.size(); ++i) {
    const std::span<const S> logits = session.step(ids[i]);
    std::copy(logits.begin(), logits.end(), result.logits.begin() + static_cast<std::ptrdiff_t>(i) * vocab);
  }
  return result;
}

/// What rounding may do to the outputs: u √k for each sum of k products (the constant of Higham and Mary 2019, "A new
/// approach to probabilistic rounding error analysis"), added up over all matrices as if each were on the only path.
inline double rounding_bound(const Llava15<>& model) {
  double sum = 0;
  for_each_param(
      [&]<class W>(const std::string&, const W& weight) {
        if (W::use == WeightUse::matrix) sum += std::sqrt(weight.cols());
      },
      model);
  return testing::float_roundoff * sum;
}

template <class A, class E>
double relative_error(const std::vector<A>& actual, const std::vector<E>& expected) {
  return testing::relative_error(dense(actual.data(), 1, static_cast<int>(actual.size())),
                                 dense(expected.data(), 1, static_cast<int>(expected.size())));
}

}  // namespace tessera::test

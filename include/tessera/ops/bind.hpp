#pragma once
/// Handing a model's weights to a backend.

#include <string>

#include "tessera/core/error.hpp"
#include "tessera/core/params.hpp"

namespace tessera::ops {

/// Gives all matrices of a model, which lie row by row, to a backend that keeps copies of its own: to a second one, or
/// again after training, whose steps no copy sees. Other backends need nothing. Throws Error for a matrix without
/// values here, as a model has them that was loaded straight into a backend.
template <class Model, class OpsT>
void bind_weights(const Model& model, OpsT& ops) {
  if constexpr (OpsT::keeps_copies) {
    for_each_param(
        [&]<class W>(const std::string& name, const W& weight) {
          if constexpr (W::use == WeightUse::matrix) {
            if (weight.data() == nullptr)
              fail("parameter '", name, "' has its values in the backend that it was loaded into alone");
            ops.bind(weight.view(), weight.dtype(), weight.data());
          }
        },
        model);
  }
}

}  // namespace tessera::ops

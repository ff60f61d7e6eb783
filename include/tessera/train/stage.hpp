#pragma once
/// A training stage of a paper as a type: which slots of a Vlm train, which stay frozen, which loss.

#include <algorithm>
#include <concepts>
#include <string>

#include "tessera/core/params.hpp"
#include "tessera/core/weight_store.hpp"
#include "tessera/model/vlm.hpp"
#include "tessera/train/loss.hpp"

namespace tessera::train {

template <class... Slots>
struct Train {};
template <class... Slots>
struct Freeze {};

template <class TrainList, class FreezeList, class LossT = CausalLm>
struct Stage;

/// Every slot is in exactly one of the lists. What is frozen has no gradients, no moments and saves nothing; below
/// everything that trains its backward is not even compiled.
template <class... Trained, class... Frozen, class LossT>
struct Stage<Train<Trained...>, Freeze<Frozen...>, LossT> {
  using Loss = LossT;

  template <class Slot>
  static constexpr bool trains = (std::same_as<Slot, Trained> || ...);

  static_assert(sizeof...(Trained) > 0, "Stage: no slot trains");
  static_assert(
      ((std::same_as<slot::Vision, Trained> + ... + 0) + (std::same_as<slot::Vision, Frozen> + ... + 0)) == 1 &&
          ((std::same_as<slot::Connector, Trained> + ... + 0) + (std::same_as<slot::Connector, Frozen> + ... + 0)) ==
              1 &&
          ((std::same_as<slot::Language, Trained> + ... + 0) + (std::same_as<slot::Language, Frozen> + ... + 0)) == 1,
      "Stage: each of slot::Vision, slot::Connector and slot::Language must be named once, in Train or in Freeze");

  // What the loss asks of each slot: a slot owes the gradient of its input where something before it trains.
  static constexpr Need vision{.dx = false, .dw = trains<slot::Vision>};
  static constexpr Need connector{.dx = vision.any(), .dw = trains<slot::Connector>};
  static constexpr Need language{.dx = connector.any(), .dw = trains<slot::Language>};
};

/// LLaVA and LLaVA-1.5, stage 1, "pre-training for feature alignment" (Liu et al. 2023, section 4.2): captions.
using llava_stage1 = Stage<Train<slot::Connector>, Freeze<slot::Vision, slot::Language>>;
/// Stage 2, "fine-tuning end-to-end": conversations. The tower stays frozen.
using llava_stage2 = Stage<Train<slot::Connector, slot::Language>, Freeze<slot::Vision>>;

/// Calls visit(name, weight) for every parameter of the model that trains in the stage.
template <class StageT, class Model, class Visit>
void for_each_trained_param(Model&& model, Visit&& visit) {
  const auto walk = [&]<class Slot>(Slot, auto& part) {
    if constexpr (StageT::template trains<Slot>) {
      for_each_trainable_param(
          [&](const std::string& name, auto& weight) { visit(std::string(Slot::name) + "." + name, weight); }, part);
    }
  };
  walk(slot::Vision{}, model.vision);
  walk(slot::Connector{}, model.connector);
  walk(slot::Language{}, model.language);
}

/// Gives a weight that is to train values of its own, row-major f32, copied from where they lie. Throws Error for a
/// weight of another format: gradients and steps need f32.
template <class W>
void own_weight(const std::string& name, W& weight, WeightStore& store) {
  if (weight.dtype() != DType::f32 || weight.data() == nullptr) {
    fail("parameter '", name, "' is stored as ", name_of(weight.dtype()),
         ": a parameter that trains must be f32, row by row");
  }
  std::byte* values = store.allocate(weight.bytes());
  std::copy_n(static_cast<const std::byte*>(weight.data()), weight.bytes(), values);
  weight.attach(values);
}

/// The same for all that trains in a stage.
template <class StageT, class Model>
void own_trained_weights(Model& model, WeightStore& store) {
  for_each_trained_param<StageT>(model,
                                 [&](const std::string& name, auto& weight) { own_weight(name, weight, store); });
  if constexpr (StageT::template trains<slot::Language>) model.language.tie_head();
}

}  // namespace tessera::train

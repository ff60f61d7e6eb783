#pragma once
/// How LLaVA and LLaVA-1.5 were trained: scripts/{pretrain,finetune}.sh and scripts/v1_5/{pretrain,finetune}.sh of
/// haotian-liu/LLaVA. Everything can be changed; what trains is the stage's type.

#include <cstdint>
#include <optional>

#include "tessera/io/conversation.hpp"
#include "tessera/train/adamw.hpp"
#include "tessera/train/order.hpp"
#include "tessera/train/schedule.hpp"

namespace tessera::hub {

struct LlavaRecipe {
  io::ConversationTemplate conversation = io::ConversationTemplate::plain;
  bool pad_to_square = false;
  /// The connector starts with fresh weights, drawn with `seed`, as in the paper's stage 1; else with the checkpoint's.
  bool new_connector = false;
  int max_length = 2048;  ///< of a sequence, image rows included
  bool truncate = false;  ///< cuts longer sequences, as LLaVA does; else they are refused
  int batch = 8;          ///< sequences that go through the model together
  int accumulate = 32;    ///< such batches in a step
  double epochs = 1;
  train::Order order = train::Order::shuffle;
  std::uint64_t seed = 42;  ///< of the order and of a new connector; transformers' default
  double learning_rate = 1e-3;
  std::optional<double> connector_learning_rate;  ///< the learning rate if absent
  train::Decay decay = train::Decay::cosine;
  double warmup_ratio = 0.03;
  train::AdamWOptions optimizer;

  /// Of `stage` 1 or 2 of LLaVA (`version` 1) or LLaVA-1.5 (`version` 15). The papers' batches of 128 and 256 sequences
  /// are accumulated.
  static LlavaRecipe of(int version, int stage) {
    LlavaRecipe recipe;
    const bool first = version == 1;
    if (stage == 1) {
      recipe.learning_rate = first ? 2e-3 : 1e-3;
      recipe.accumulate = first ? 16 : 32;
      return recipe;
    }
    recipe.conversation = io::ConversationTemplate::vicuna_v1;
    recipe.learning_rate = 2e-5;
    recipe.accumulate = 16;
    recipe.pad_to_square = !first;
    recipe.order = first ? train::Order::shuffle : train::Order::length_grouped;
    return recipe;
  }
};

}  // namespace tessera::hub

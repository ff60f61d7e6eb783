#pragma once
// The demo's language model alone, on texts: questions about a caption that stands where LLaVA's image will.

#include <span>
#include <vector>

#include "tessera/core/gradients.hpp"
#include "tessera/io/conversation_labels.hpp"
#include "tessera/language/llama.hpp"
#include "tessera/train/loss.hpp"

namespace tessera::demo {

/// Texts; the labels are of the answers.
struct TextBatch : io::JoinedSamples {
  std::int64_t rows() const { return static_cast<std::int64_t>(ids.size()); }
};

/// The loss on the answers, and by a fifth that on all of the text.
class LanguageLoss {
 public:
  explicit LanguageLoss(const Llama<>& model) : model_(model) {}

  template <class Ctx>
  double operator()(Ctx& c, const TextBatch& batch) {
    const Arena::PassScope scope(c.arena);
    const Sequences texts{std::span<const int>(batch.ends)};
    const int rows = texts.rows(), width = model_.width();
    const Mat<float> x = c.arena.template mat<float>(rows, width), hidden = c.arena.template mat<float>(rows, width),
                     dhidden = c.arena.template zeros<float>(rows, width),
                     dx = c.arena.template zeros<float>(rows, width);
    model_.embed(c, batch.ids, x);
    model_.template forward<weights>(c, x, texts, hidden, saved_);
    double loss = 0;
    for (const auto& [labels, share] : {std::pair(&batch.labels, 1.0f), std::pair(&batch.ids, 0.2f)}) {
      next_.collect(*labels, texts);
      const float scale = share / static_cast<float>(next_.size());
      loss += scale *
              train::CausalLm{}.template operator()<weights.inner()>(c, model_.lm_head, hidden, next_, scale, dhidden);
    }
    model_.template backward<weights>(c, saved_, dhidden, dx, texts);
    model_.embed_backward(c, batch.ids, dx);
    return loss;
  }

 private:
  static constexpr Need weights{.dw = true};

  const Llama<>& model_;
  Llama<>::Saved<weights, float> saved_;
  train::NextTokens next_;
};

}  // namespace tessera::demo

#pragma once
/// Loss and gradients of one batch.

#include <algorithm>
#include <span>
#include <tuple>

#include "tessera/core/gradients.hpp"
#include "tessera/train/stage.hpp"

namespace tessera::train {

/// Sequences of tokens with their labels and images; a label stands beside the token that is to be predicted, so ids
/// and labels of an answer are equal. The image token is repeated once for each row of an image.
template <class S>
struct Batch {
  std::span<const int> ids;       ///< of all sequences, one after the other
  std::span<const int> labels;    ///< aligned with ids; ignored_label where there is none
  std::span<const int> ends;      ///< where each sequence ends in ids
  int images = 0;                 ///< in the order of the image tokens
  const float* pixels = nullptr;  ///< of all images; null: the tower, which is frozen, made vision_rows of them
  Mat<const S> vision_rows{};     ///< [images · vision.tokens(), vision.out()]
};

/// Runs batches of a stage through a model, forward and backward. Typical use:
///
///     Gradients<float> gradients(model);  // or of the parts that train
///     AdamW optimizer(trained_parameters<StageT>(model, gradients), {});
///     Step<StageT, Model, ops::NativeTraining> step(model, ops, gradients);
///     for (const Batch<float>& batch : …) {
///       gradients.zero();
///       const int labels = step.labels(batch);
///       const double loss = step.forward_backward(batch, 1.0f / labels) / labels;
///       optimizer.step(rate, optimizer.gradient_norm());
///     }
///     ops::bind_weights(model, native);   // before a Session with ops::Native
///
/// Memory is planned anew when a batch needs more than
/// all before; nothing is allocated otherwise.
template <class StageT, class Model, class OpsT>
class Step {
 public:
  using S = typename OpsT::Scalar;

  Step(const Model& model, const OpsT& ops, const Gradients<S>& gradients, typename StageT::Loss loss = {},
       int threads = default_threads())
      : model_(model), ops_(ops), gradients_(gradients), loss_(loss), threads_(threads) {}

  /// The number of labels that a batch's loss is a sum over. This and what follows throw Error for a batch whose parts
  /// do not fit each other or the model.
  int labels(const Batch<S>& batch) {
    check(batch);
    next_.collect(batch.labels, Sequences(batch.ends));
    return next_.size();
  }

  /// Returns the sum of the batch's losses and adds `scale` times its gradient to the gradients.
  double forward_backward(const Batch<S>& batch, float scale) { return run<StageT>(batch, scale); }

  /// The sum of the batch's losses alone.
  double loss(const Batch<S>& batch) { return run<Evaluation>(batch, 1); }

  std::size_t workspace_bytes() const { return arena_.size(); }

 private:
  struct Evaluation {
    static constexpr Need vision = inference, connector = inference, language = inference;
  };
  template <class Needs>
  struct Saved {
    typename decltype(Model::vision)::template Saved<Needs::vision, S> vision;
    typename decltype(Model::connector)::template Saved<Needs::connector, S> connector;
    typename decltype(Model::language)::template Saved<Needs::language, S> language;
  };

  void check(const Batch<S>& batch) const {
    const int tokens = static_cast<int>(batch.ids.size()), vocab = model_.language.vocab();
    if (batch.labels.size() != batch.ids.size())
      fail("a batch has ", tokens, " ids and ", batch.labels.size(), " labels: expected one for each");
    for (const int label : batch.labels) {
      if (label != ignored_label && (label < 0 || label >= vocab))
        fail("label ", label, " is outside the vocabulary of ", vocab, "; what has no label has ", ignored_label);
    }
    if (!std::ranges::is_sorted(batch.ends) || (batch.ends.empty() ? 0 : batch.ends.back()) != tokens)
      fail("the ends of a batch's sequences must ascend to its ", tokens, " ids");
    model_.splice.check(batch.ids, vocab, batch.images * model_.image_tokens());
    check_images(batch);
  }

  void check_images(const Batch<S>& batch) const {
    if (batch.images == 0 || batch.pixels != nullptr) return;
    if (StageT::vision.any()) fail("a batch of ", batch.images, " images has no pixels, and the tower trains");
    const int rows = batch.images * model_.vision.tokens(), width = model_.vision.out();
    if (batch.vision_rows.rows != rows || batch.vision_rows.cols != width) {
      fail("a batch of ", batch.images, " images has vision rows [", batch.vision_rows.rows, ", ",
           batch.vision_rows.cols, "], expected [", rows, ", ", width, "], or pixels");
    }
  }

  template <class Needs>
  double run(const Batch<S>& batch, float scale) {
    const Sequences sequences(batch.ends);
    check(batch);
    next_.collect(batch.labels, sequences);
    return run_pass(ops_, arena_, gradients_, threads_,
                    [&](TrainingContext<OpsT>& c) { return pass<Needs>(c, batch, sequences, scale); });
  }

  template <class Needs>
  double pass(TrainingContext<OpsT>& c, const Batch<S>& batch, const Sequences& sequences, float scale) {
    const Arena::PassScope scope(c.arena);
    Saved<Needs>& saved = std::get<Saved<Needs>>(saved_);
    const Mat<S> x = embed<Needs>(c, batch, saved), hidden = mat(c, x.rows, x.cols), dhidden = zeros(c, x.rows, x.cols);
    model_.language.template forward<Needs::language>(c, x, sequences, hidden, saved.language);
    const double loss =
        loss_.template operator()<Needs::language.inner()>(c, model_.language.lm_head, hidden, next_, scale, dhidden);
    if constexpr (Needs::language.any()) {
      const Mat<S> dx = zeros(c, x.rows, x.cols);
      model_.language.template backward<Needs::language>(c, saved.language, dhidden, dx, sequences);
      embed_backward<Needs>(c, batch, saved, dx);
    }
    return loss;
  }

  /// Rows of the language model: text through its table, images through tower and connector.
  template <class Needs>
  Mat<S> embed(TrainingContext<OpsT>& c, const Batch<S>& batch, Saved<Needs>& saved) {
    Mat<const S> vision_rows = batch.vision_rows;
    if (batch.pixels != nullptr && batch.images > 0) {
      const Mat<S> rows = mat(c, batch.images * model_.vision.tokens(), model_.vision.out());
      model_.vision.template forward<Needs::vision>(c, batch.pixels, batch.images, rows, saved.vision);
      vision_rows = rows;
    }
    const Mat<S> image_rows = mat(c, batch.images * model_.image_tokens(), model_.connector.out());
    if (batch.images > 0)
      connector_forward<Needs::connector>(model_.connector, c, vision_rows, batch.images, image_rows, saved.connector);
    const Mat<S> x = mat(c, static_cast<int>(batch.ids.size()), model_.language.width());
    model_.splice.embed(c, model_.language, batch.ids, image_rows, x);
    return x;
  }

  template <class Needs>
  void embed_backward(TrainingContext<OpsT>& c, const Batch<S>& batch, const Saved<Needs>& saved, Input<S> dx) {
    const Mat<S> dimage_rows = zeros(c, batch.images * model_.image_tokens(), model_.connector.out());
    model_.splice.template embed_backward<Needs::connector.any(), Needs::language.dw>(c, model_.language, batch.ids, dx,
                                                                                      dimage_rows);
    if (batch.images == 0) return;
    if constexpr (Needs::connector.any()) {
      const int rows = Needs::vision.any() ? batch.images * model_.vision.tokens() : 0;
      const Mat<S> dvision = zeros(c, rows, model_.vision.out());
      connector_backward<Needs::connector>(model_.connector, c, saved.connector, dimage_rows, dvision, batch.images);
      if constexpr (Needs::vision.any())
        model_.vision.template backward<Needs::vision>(c, saved.vision, dvision, batch.images);
    }
  }

  static Mat<S> mat(Run& c, int rows, int cols) { return c.arena.mat<S>(rows, cols); }
  static Mat<S> zeros(Run& c, int rows, int cols) { return c.arena.zeros<S>(rows, cols); }

  const Model& model_;
  const OpsT& ops_;
  const Gradients<S>& gradients_;
  typename StageT::Loss loss_;
  int threads_;
  NextTokens next_;
  std::tuple<Saved<StageT>, Saved<Evaluation>> saved_;  // kept from batch to batch for their lists
  Arena arena_;
};

}  // namespace tessera::train

#pragma once
// The demo's vision tower with all that trains it: CLIP's text half and projections, and heads that tell for every
// patch what covers it.

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "tessera/core/gradients.hpp"
#include "tessera/layer/linear.hpp"
#include "tessera/train/contrastive.hpp"
#include "tessera/train/loss.hpp"
#include "tessera/vision/clip_text.hpp"
#include "tessera/vision/vit.hpp"

#include "demo/patch_labels.hpp"

namespace tessera::demo {

/// A CLIP model whose tower hands on the hidden state that LLaVA reads (−2) and the last one.
struct TowerModel {
  ViT<> vision_model;
  LayerNorm<> post_layernorm;
  ClipText<> text_model;
  Linear<> visual_projection, text_projection;
  Vector<1> logit_scale;
  Linear<> patch_heads;

  TowerModel(const ClipVisionConfig& vision, const ClipTextConfig& text, int shared_width)
      : vision_model(vision, {{-2, -1}, true}),
        post_layernorm(vision.width, vision.norm_eps),
        text_model(text),
        visual_projection(vision.width, shared_width, false),
        text_projection(text.width, shared_width, false),
        logit_scale(1),
        patch_heads(vision.width, patch_scores) {}

  int width() const { return post_layernorm.out(); }

  template <class V, class... L>
  static void params(V&& v, L&... l) {
    v("vision_model", l.vision_model...);
    v("vision_model.post_layernorm", l.post_layernorm...);
    v("text_model", l.text_model...);
    v("visual_projection", l.visual_projection...);
    v("text_projection", l.text_projection...);
    v("logit_scale", l.logit_scale...);
    v("patch_heads", l.patch_heads...);
  }
};

/// Images with the labels of their patches and, for the contrastive loss, a caption each.
struct TowerBatch {
  int images = 0;
  std::vector<float> pixels;
  std::vector<PatchLabels> labels;
  std::vector<int> ids, ends;  ///< of the captions; empty: no contrastive loss

  std::int64_t rows() const { return static_cast<std::int64_t>(labels.size()); }
};

/// The loss of a patch's labels, and CLIP's if there are captions.
class TowerLoss {
 public:
  explicit TowerLoss(const TowerModel& model) : model_(model) {}

  template <class Ctx>
  double operator()(Ctx& c, const TowerBatch& batch) {
    const Arena::PassScope scope(c.arena);
    const int rows = batch.images * model_.vision_model.tokens(), width = model_.width();
    const Mat<float> states = c.arena.template mat<float>(rows, 2 * width),
                     dstates = c.arena.template zeros<float>(rows, 2 * width);
    model_.vision_model.template forward<weights>(c, batch.pixels.data(), batch.images, states, saved_.vision);
    double loss = patches(c, batch, states.cols_at(0, width), dstates.cols_at(0, width));
    if (!batch.ends.empty()) loss += pairs(c, batch, states.cols_at(width, width), dstates.cols_at(width, width));
    model_.vision_model.template backward<weights>(c, saved_.vision, dstates, batch.images);
    return loss;
  }

 private:
  static constexpr Need weights{.dw = true}, both{.dx = true, .dw = true};
  static constexpr float largest_log_scale = 4.6f;  // CLIP's: the scores are multiplied by 100 at most

  template <class Ctx>
  double patches(Ctx& c, const TowerBatch& batch, Mat<float> states, Mat<float> dstates) {
    const int each = model_.vision_model.tokens() - 1, rows = batch.images * each;
    const Mat<float> x = c.arena.template mat<float>(rows, states.cols),
                     dx = c.arena.template zeros<float>(rows, states.cols),
                     scores = c.arena.template mat<float>(rows, patch_scores),
                     dscores = c.arena.template zeros<float>(rows, patch_scores);
    const auto each_image = [&](auto&& f) {
      for (int i = 0; i < batch.images && !c.arena.counting(); ++i) f(i * (each + 1) + 1, i * each);
    };
    each_image([&](int state, int row) { copy<float>(states.rows_at(state, each), x.rows_at(row, each)); });
    model_.patch_heads.template forward<both>(c, x, scores, saved_.heads);
    const double loss = c.arena.counting() ? 0 : patch_loss(scores, batch.labels, dscores);
    model_.patch_heads.template backward<both>(c, saved_.heads, dscores, dx);
    each_image([&](int state, int row) { accumulate<float>(dx.rows_at(row, each), dstates.rows_at(state, each)); });
    return loss;
  }

  template <class Ctx>
  double pairs(Ctx& c, const TowerBatch& batch, Mat<float> states, Mat<float> dstates) {
    const int count = batch.images, shared = model_.visual_projection.out(), tokens = model_.vision_model.tokens();
    const auto mat = [&](int cols) { return c.arena.template mat<float>(count, cols); };
    const auto zeros = [&](int cols) { return c.arena.template zeros<float>(count, cols); };
    const int width = states.cols, text_width = model_.text_model.out();
    const Mat<float> pooled = mat(width), normed = mat(width), image = mat(shared), dpooled = zeros(width),
                     dnormed = zeros(width), dimage = zeros(shared), words = mat(text_width), text = mat(shared),
                     dwords = zeros(text_width), dtext = zeros(shared);
    const Sequences captions{std::span<const int>(batch.ends)};
    for (int i = 0; i < count && !c.arena.counting(); ++i)
      copy<float>(states.rows_at(i * tokens, 1), pooled.rows_at(i, 1));
    model_.post_layernorm.template forward<both>(c, pooled, normed, saved_.norm);
    model_.visual_projection.template forward<both>(c, normed, image, saved_.visual_projection);
    model_.text_model.template forward<weights>(c, batch.ids, captions, words, saved_.text);
    model_.text_projection.template forward<both>(c, words, text, saved_.text_projection);

    const float log_scale = std::min(model_.logit_scale.values()[0], largest_log_scale);
    float dlog_scale = 0;
    const double loss = train::Contrastive<float>::loss(c.arena, image, text, log_scale, dimage, dtext, dlog_scale);
    if (log_scale < largest_log_scale) c.gradients(model_.logit_scale).data[0] += dlog_scale;

    model_.text_projection.template backward<both>(c, saved_.text_projection, dtext, dwords);
    model_.text_model.template backward<weights>(c, saved_.text, batch.ids, captions, dwords);
    model_.visual_projection.template backward<both>(c, saved_.visual_projection, dimage, dnormed);
    model_.post_layernorm.template backward<both>(c, saved_.norm, dnormed, dpooled);
    for (int i = 0; i < count && !c.arena.counting(); ++i)
      accumulate<float>(dpooled.rows_at(i, 1), dstates.rows_at(i * tokens, 1));
    return loss;
  }

  struct Saved {
    ViT<>::Saved<weights, float> vision;
    ClipText<>::Saved<weights, float> text;
    LayerNorm<>::Saved<both, float> norm;
    Linear<>::Saved<both, float> visual_projection, text_projection, heads;
  };

  const TowerModel& model_;
  Saved saved_;
};

}  // namespace tessera::demo

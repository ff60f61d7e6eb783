#pragma once
/// Running a model: images in, a prompt in, logits out, token by token.

#include <algorithm>
#include <functional>
#include <span>
#include <vector>

#include "tessera/connect/concept.hpp"
#include "tessera/core/context.hpp"
#include "tessera/language/concept.hpp"

namespace tessera {

/// What a session must be able to hold. Its memory is planned from these numbers once; nothing is allocated later, but
/// by a backend that keeps things of its own (OneDnn's primitives, once for each shape) and by fork().
struct Limits {
  int images = 1;
  int tokens = 2048;        ///< of prompt (image rows included) and answer together
  int prefill_chunk = 512;  ///< rows that go through the language model at a time; changes no result
};

/// What a session takes besides the weights.
struct MemoryPlan {
  std::size_t cache = 0, workspace = 0;  ///< bytes
};

/// The plan of a session with these limits, counted without taking any memory: the largest image, prompt chunk and step
/// with a full cache.
template <class Model, class OpsT>
MemoryPlan plan_session(const Model& model, const OpsT& ops, const Limits& limits, int threads = default_threads()) {
  using S = typename OpsT::Scalar;
  const auto nowhere = [](int rows, int cols) {
    return dense(reinterpret_cast<S*>(alignof(S)), rows, cols);
  };  // not written
  const auto& [vision, connector, language, splice] = model;
  Arena counting;
  Context<OpsT> c(ops, counting, threads);
  if (limits.images > 0) {
    const Mat<S> hidden = nowhere(vision.tokens(), vision.out());
    infer(vision, c, nullptr, hidden);
    infer_connector(connector, c, hidden, 1, nowhere(model.image_tokens(), connector.out()));
  }
  auto cache = language.template counting_cache<S>(limits.tokens);
  for (const int rows : {std::min(limits.prefill_chunk, limits.tokens), 1}) {
    const Arena::Scope scope(counting);
    const Mat<S> x = counting.mat<S>(rows, language.width()), hidden = counting.mat<S>(rows, language.width());
    cache.shrink(0);
    cache.grow(limits.tokens - rows);
    splice.embed(c, language, std::vector<int>(static_cast<std::size_t>(rows)), {}, x);
    language.forward(c, x, hidden, cache);
    language.head(c, hidden, nowhere(rows, language.vocab()));
  }
  return {cache.bytes(), counting.peak()};
}

/// One conversation with a model. Typical use:
///
///     Session session(model, ops, {.images = 1, .tokens = 1024});
///     session.encode(pixels);
///     auto logits = session.prefill(ids);
///     while (...) logits = session.step(choose(logits));
template <class Model, class OpsT>
class Session {
 public:
  using S = typename OpsT::Scalar;
  using Cache = CacheOf<decltype(Model::language), S>;
  /// Called with (rows done, rows in all).
  using Progress = std::function<void(int, int)>;

  Session(const Model& model, const OpsT& ops, Limits limits, int threads = default_threads())
      : model_(model),
        ops_(ops),
        limits_(checked(limits)),
        threads_(threads),
        cache_(model.language.template make_cache<S>(limits.tokens)),
        logits_(static_cast<std::size_t>(model.language.vocab())) {
    const int vision_rows = limits.images * model.vision.tokens(), image_rows = limits.images * model.image_tokens();
    vision_values_.resize(static_cast<std::size_t>(vision_rows) * static_cast<std::size_t>(model.vision.out()));
    image_values_.resize(static_cast<std::size_t>(image_rows) * static_cast<std::size_t>(model.connector.out()));
    arena_ = Arena(plan_session(model, ops, limits_, threads).workspace);
  }

  /// Bytes of the planned workspace, without the cache.
  std::size_t workspace_bytes() const { return arena_.size(); }
  std::size_t cache_bytes() const { return cache_.bytes(); }
  const Limits& limits() const { return limits_; }
  /// Tokens that the model has seen.
  int size() const { return cache_.size(); }

  /// Encodes one image (float [3, height, width], normalised) for the next prompt. Returns its rows as the language
  /// model will get them, [image_tokens(), width].
  Mat<const S> encode(std::span<const float> pixels) {
    if (pixels.size() != model_.vision.pixels()) {
      fail("an image has ", pixels.size(), " numbers, the vision encoder reads ", model_.vision.pixels());
    }
    if (images_ == limits_.images)
      fail("more images than the limit of ", limits_.images, " that this session was planned for");
    ++images_;
    Context<OpsT> c(ops_, arena_, threads_);
    encode(c, pixels.data());
    const Mat<const S> all = image_features();
    return all.rows_at(all.rows - model_.image_tokens(), model_.image_tokens());
  }

  /// What the connector read for all encoded images: [images · vision tokens, vision width].
  Mat<const S> vision_hidden() const {
    return dense<const S>(vision_values_.data(), images_ * model_.vision.tokens(), model_.vision.out());
  }
  /// What the language model gets for all encoded images: [images · image tokens, width].
  Mat<const S> image_features() const {
    return dense<const S>(image_values_.data(), images_ * model_.image_tokens(), model_.connector.out());
  }

  /// Appends the prompt's tokens and returns the logits after the last, valid until the next call. Image tokens take
  /// the rows of encoded images that no earlier prompt took. `all_logits`, if given, gets the logits of every token,
  /// [ids.size(), vocab].
  std::span<const S> prefill(std::span<const int> ids, const Progress& progress = {}, Mat<S> all_logits = {}) {
    if (ids.empty()) fail("the prompt has no tokens");
    const int total = static_cast<int>(ids.size()), image_rows = images_ * model_.image_tokens();
    model_.splice.check(ids, model_.language.vocab(), image_rows - rows_used_);
    if (total > cache_.capacity() - cache_.size()) {
      fail("the prompt of ", cache_.size() + total, " tokens is longer than the limit of ", cache_.capacity());
    }
    Context<OpsT> c(ops_, arena_, threads_);
    for (int begin = 0; begin < total; begin += limits_.prefill_chunk) {
      const int count = std::min(limits_.prefill_chunk, total - begin);
      advance(c, ids.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count)),
              all_logits.data != nullptr ? all_logits.rows_at(begin, count) : Mat<S>{});
      if (progress) progress(begin + count, total);
    }
    return logits_;
  }

  /// Appends one token and returns the logits after it, valid until the next call.
  std::span<const S> step(int id) { return prefill({&id, 1}); }

  /// Continuations of one prompt side by side, for a beam search: each has a cache of its own. The session must not be
  /// used while its forks are. Takes two caches for each, outside the session's plan.
  class Forks {
   public:
    /// Logits after one more token of one continuation, valid until the next call.
    std::span<const S> step(int fork, int id) {
      std::swap(session_.cache_, caches_[static_cast<std::size_t>(fork)]);
      const auto logits = session_.step(id);
      std::swap(session_.cache_, caches_[static_cast<std::size_t>(fork)]);
      return logits;
    }
    /// Continuation i becomes a copy of what continuation parents[i] was.
    void reorder(std::span<const int> parents) {
      for (std::size_t i = 0; i < parents.size(); ++i)
        spare_[i].copy_from(caches_[static_cast<std::size_t>(parents[i])], prompt_);
      std::swap(caches_, spare_);
    }

   private:
    friend Session;
    Forks(Session& session, int count) : session_(session), prompt_(session.size()) {
      for (int i = 0; i < 2 * count; ++i) {
        (i < count ? caches_ : spare_)
            .push_back(session.model_.language.template make_cache<S>(session.limits_.tokens));
        (i < count ? caches_ : spare_).back().copy_from(session.cache_, 0);
      }
    }
    Session& session_;
    int prompt_;  // tokens that all continuations share
    std::vector<Cache> caches_, spare_;
  };
  Forks fork(int count) { return Forks(*this, count); }

  /// Forgets all tokens after the first `tokens`, of which `image_rows` were image tokens. Images stay encoded, so a
  /// dialogue can go on from any point without seeing its images again.
  void rewind(int tokens, int image_rows) {
    cache_.shrink(tokens);
    rows_used_ = image_rows;
  }
  /// Forgets all images and tokens.
  void reset() {
    images_ = 0;
    rewind(0, 0);
  }

 private:
  static Limits checked(Limits limits) {
    if (limits.images < 0 || limits.tokens < 1 || limits.prefill_chunk < 1) {
      fail("session limits: ", limits.images, " images, ", limits.tokens, " tokens and chunks of ",
           limits.prefill_chunk, ": tokens and chunks must be at least 1");
    }
    limits.prefill_chunk = std::min(limits.prefill_chunk, limits.tokens);
    return limits;
  }

  /// Runs the newest image through tower and connector.
  void encode(Context<OpsT>& c, const float* pixels) {
    const int vision_rows = model_.vision.tokens(), image_rows = model_.image_tokens(), index = images_ - 1;
    const Mat<S> hidden = dense(vision_values_.data(), images_ * vision_rows, model_.vision.out());
    const Mat<S> features = dense(image_values_.data(), images_ * image_rows, model_.connector.out());
    infer(model_.vision, c, pixels, hidden.rows_at(index * vision_rows, vision_rows));
    infer_connector(model_.connector, c, hidden.rows_at(index * vision_rows, vision_rows), 1,
                    features.rows_at(index * image_rows, image_rows));
  }

  /// Runs a chunk of ids through the language model. Logits of the last row always, of all rows if wanted.
  void advance(Context<OpsT>& c, std::span<const int> ids, Mat<S> all_logits) {
    const Arena::Scope scope(c.arena);
    const int rows = static_cast<int>(ids.size()), width = model_.language.width();
    const Mat<S> x = c.arena.template mat<S>(rows, width), hidden = c.arena.template mat<S>(rows, width);
    const int image_rows = model_.splice.count(ids);
    model_.splice.embed(c, model_.language, ids, image_features().rows_at(rows_used_, image_rows), x);
    rows_used_ += image_rows;
    model_.language.forward(c, x, hidden, cache_);
    const Mat<S> last = dense(logits_.data(), 1, model_.language.vocab());
    model_.language.head(c, hidden.rows_at(rows - 1, 1), last);
    if (all_logits.data != nullptr) model_.language.head(c, hidden, all_logits);
  }

  const Model& model_;
  const OpsT& ops_;
  Limits limits_;
  int threads_;
  Cache cache_;
  std::vector<S> vision_values_, image_values_, logits_;
  Arena arena_;
  int images_ = 0;
  int rows_used_ = 0;  // rows of image_features() that prompts have taken
};

}  // namespace tessera

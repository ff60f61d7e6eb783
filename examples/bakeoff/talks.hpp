#pragma once
// Conversations about scenes, as a frozen tower sees these.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/hub/llava_folder.hpp"
#include "tessera/io/conversation_labels.hpp"
#include "tessera/ops/native_training.hpp"
#include "tessera/train/step.hpp"

#include "demo/data.hpp"

namespace tessera::bakeoff {

/// Owns what its train::Batch points at, the tower's rows excepted.
struct TalkBatch : io::JoinedSamples {
  Mat<const float> vision_rows;

  operator train::Batch<float>() const {
    return {.ids = ids,
            .labels = labels,
            .ends = ends,
            .images = static_cast<int>(ends.size()),
            .vision_rows = vision_rows};
  }
};

/// Scenes of one or two objects, each with a conversation of five tasks. The tower sees each scene once, here.
class Talks {
 public:
  template <class Vision>
  Talks(const hub::LlavaFolder& folder, const Vision& vision, int count)
      : folder_(folder),
        scenes_(static_cast<std::size_t>(count)),
        tokens_(vision.tokens()),
        vision_values_(scenes_.size() * static_cast<std::size_t>(tokens_ * vision.out())),
        vision_rows_(dense(vision_values_.data(), count * tokens_, vision.out())) {
    const ops::NativeTraining ops;
    parallel_for(default_threads(), count, 1, [&](int begin, int end, int) {
      const auto look = [&](auto& c, const float* pixels, int i) {
        infer(vision, c, pixels, vision_rows_.rows_at(i * tokens_, tokens_));
      };
      Arena arena = plan_workspace(ops, 1, [&](auto& c) { look(c, nullptr, begin); });
      Context c(ops, arena, 1);
      for (int i = begin; i < end; ++i) {
        const scenes::Scene scene =
            make_scene(demo::world(demo::World::conversations, 1, 2), static_cast<std::uint64_t>(i));
        look(c, folder.processor.preprocess(scenes::render(scene)).values.data(), i);
        scenes_[static_cast<std::size_t>(i)] = scene;
      }
    });
  }
  Talks(const Talks&) = delete;
  Talks& operator=(const Talks&) = delete;

  /// The conversations of a step: in order, and from the first again after the last, which must end a step. The
  /// language model sees `image_tokens` rows of each image.
  TalkBatch batch(int step, int size, int image_tokens) const {
    const int first = step * size % static_cast<int>(scenes_.size());
    TalkBatch batch;
    batch.vision_rows = vision_rows_.rows_at(first * tokens_, size * tokens_);
    for (int i = first; i < first + size; ++i) batch.add(labelled_talk(i, image_tokens));
    return batch;
  }

 private:
  io::LabelledIds labelled_talk(int i, int image_tokens) const {
    scenes::Random random(static_cast<std::uint64_t>(i));
    std::vector<io::Turn> turns;
    for (const scenes::Turn& turn : demo::talk(scenes_[static_cast<std::size_t>(i)], 5, random)) {
      turns.push_back({"user", turns.empty() ? folder_.with_images(turn.question, 1) : turn.question});
      turns.push_back({"assistant", turn.answer});
    }
    return io::label_conversation(folder_.tokenizer, turns, true,
                                  {.conversation = io::ConversationTemplate::hugging_face,
                                   .image_token = folder_.config.image_token,
                                   .rows_per_image = image_tokens});
  }

  const hub::LlavaFolder& folder_;
  std::vector<scenes::Scene> scenes_;
  int tokens_;  ///< rows of a scene
  std::vector<float> vision_values_;
  Mat<float> vision_rows_;  ///< of all scenes
};

}  // namespace tessera::bakeoff

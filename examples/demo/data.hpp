#pragma once
// What the demo is trained on: scenes as batches in memory, and as files for LLaVA's stages.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tessera/hub/llava_folder.hpp"
#include "tessera/io/atomic_file.hpp"
#include "tessera/io/conversation_labels.hpp"
#include "tessera/io/png.hpp"

#include "demo/language.hpp"
#include "demo/tower.hpp"
#include "scenes/dataset.hpp"
#include "scenes/render.hpp"

namespace tessera::demo {

/// Seeds of the worlds that the phases see. `tessera scenes` and the exams use others, and another split.
enum class World : std::uint64_t { captioned = 1, texts = 2, crowded = 6, conversations = 4 };

inline scenes::SceneOptions world(World seed, int min_objects, int max_objects) {
  scenes::SceneOptions options;
  options.seed = static_cast<std::uint64_t>(seed);
  options.min_objects = min_objects;
  options.max_objects = max_objects;
  return options;
}

/// Scenes of one object at first; the share of those with up to three grows to all of them when `progress` is 1 /
/// mixing.
inline scenes::Scene curriculum_scene(World seed, double progress, double mixing, std::uint64_t index) {
  scenes::Random random(mix(static_cast<std::uint64_t>(seed)) ^ index);
  const bool mixed = random.between(0, 9999) < 10000 * mixing * progress;
  return scenes::make_scene(world(seed, 1, mixed ? 3 : 1), index);
}

/// Questions about a scene, as LLaVA's second stage asks them: what takes long to learn comes more often.
inline std::vector<scenes::Turn> talk(const scenes::Scene& scene, int tasks, scenes::Random& random) {
  using enum scenes::Task;
  static const std::vector<scenes::Task> mixture = {attribute, attribute, existence, existence, existence, count,
                                                    count,     relation,  size,      dialogue,  caption,   detail};
  return scenes::draw_turns(scene, scenes::Split::train, mixture, tasks, random);
}

inline std::string detailed_caption(const scenes::Scene& scene) { return scenes::detail::caption(scene, true); }

/// Batches for the tower and the language model; functions of the step.
class Batches {
 public:
  Batches(const hub::LlavaFolder& folder, int tower_size, int text_size)
      : folder_(folder), tower_size_(tower_size), text_size_(text_size) {}

  /// Images with captions. Patches have no label of the shape: see crowded().
  TowerBatch captioned(std::int64_t step, double progress) const {
    TowerBatch batch;
    for (int i = 0; i < tower_size_; ++i) {
      const scenes::Scene scene = curriculum_scene(World::captioned, progress, 3, number(step, i, tower_size_));
      add(batch, scene, [](const scenes::Object& object) {
        PatchLabels labels = all_attributes(object);
        labels[shape] = ignored_label;
        return labels;
      });
      for (const int id : folder_.tokenizer.encode(detailed_caption(scene))) batch.ids.push_back(id);
      batch.ids.push_back(folder_.generation.eos.front());  // CLIP's text tower reads its features there
      batch.ends.push_back(static_cast<int>(batch.ids.size()));
    }
    return batch;
  }

  /// Images of many objects, every other one in a colour that has no name. Shapes are learnt from these alone, colours
  /// from the others: so no shape is tied to the colours that it is seen in, and new pairs of shape and colour can be
  /// read.
  TowerBatch crowded(std::int64_t step) const {
    TowerBatch batch;
    for (int i = 0; i < tower_size_; ++i) {
      const std::uint64_t index = number(step, i, tower_size_);
      scenes::Scene scene = scenes::make_scene(world(World::crowded, 2, 5), index);
      scenes::Random random(mix(static_cast<std::uint64_t>(World::crowded) + 1) ^ index);
      std::vector<const scenes::Object*> nameless;
      for (scenes::Object& object : scene.objects) {
        if (random.coin()) continue;
        object.rgb = nameless_color(random);
        nameless.push_back(&object);
      }
      add(batch, scene, [&](const scenes::Object& object) {
        PatchLabels labels = all_attributes(object);
        const bool has_name = std::find(nameless.begin(), nameless.end(), &object) == nameless.end();
        labels[has_name ? shape : color] = ignored_label;
        return labels;
      });
    }
    return batch;
  }

  /// Texts: "USER: {caption}\n{question} ASSISTANT: {answer}</s>USER: …".
  TextBatch texts(std::int64_t step, double progress) const {
    TextBatch batch;
    for (int i = 0; i < text_size_; ++i) {
      const std::uint64_t index = number(step, i, text_size_);
      const scenes::Scene scene = curriculum_scene(World::texts, progress, 1.5, index);
      scenes::Random random(mix(static_cast<std::uint64_t>(World::texts) + 1) ^ index);
      const std::vector<scenes::Turn> rounds = talk(scene, 4, random);
      std::vector<io::Turn> turns;
      for (const scenes::Turn& round : rounds) {
        turns.push_back({"user", (turns.empty() ? detailed_caption(scene) + "\n" : "") + round.question});
        turns.push_back({"assistant", round.answer});
      }
      batch.add(io::label_conversation(folder_.tokenizer, turns, false,
                                       {.conversation = io::ConversationTemplate::hugging_face}));
    }
    return batch;
  }

 private:
  static std::uint64_t number(std::int64_t step, int i, int batch) {
    return static_cast<std::uint64_t>(step * batch + i);
  }

  template <class Attributes>
  void add(TowerBatch& batch, const scenes::Scene& scene, Attributes&& attributes) const {
    const io::Pixels pixels = folder_.processor.preprocess(scenes::render(scene));
    batch.pixels.insert(batch.pixels.end(), pixels.values.begin(), pixels.values.end());
    const auto labels = patch_labels(scene, folder_.config.vision.patch_size, attributes);
    batch.labels.insert(batch.labels.end(), labels.begin(), labels.end());
    ++batch.images;
  }

  /// A colour that is far from all that have names, and from the backgrounds.
  static scenes::Rgb nameless_color(scenes::Random& random) {
    const auto near = [](const scenes::Rgb& a, const scenes::Rgb& b, int distance) {
      int squares = 0;
      for (std::size_t k = 0; k < 3; ++k) squares += (a[k] - b[k]) * (a[k] - b[k]);
      return squares < distance * distance;
    };
    for (;;) {
      scenes::Rgb rgb{};
      for (std::uint8_t& channel : rgb) channel = static_cast<std::uint8_t>(random.below(256));
      const bool named = std::any_of(scenes::detail::palette.begin(), scenes::detail::palette.end(),
                                     [&](const scenes::Rgb& name) { return near(rgb, name, 55); });
      if (!named && !near(rgb, {100, 100, 100}, 80)) return rgb;
    }
  }

  const hub::LlavaFolder& folder_;
  int tower_size_, text_size_;
};

/// The data of LLaVA's stages: images of a pool of scenes, and conversations about them in the order of training.
struct StageData {
  std::filesystem::path folder;
  std::size_t single_scenes, mixed_scenes;  ///< in the pool: of one object, of one to three
  std::size_t captions;                     ///< conversations of stage 1
  std::size_t single_talks, mixed_talks;    ///< of stage 2, those about one object come first

  /// Writes images/*.png, captions.jsonl (stage 1) and conversations.jsonl (stage 2); files that are there already are
  /// complete and stay.
  void write(const std::function<void(std::size_t done, std::size_t all)>& progress) const {
    const std::size_t pool = single_scenes + mixed_scenes;
    io::make_folder(folder / "images");
    for (std::size_t i = 0; i < pool; ++i) {
      const auto file = folder / "images" / scenes::image_name(i);
      if (!std::filesystem::exists(file)) io::write_png(file, scenes::render(scene(i)));
      progress(i + 1, pool);
    }
    write_lines("captions.jsonl", captions, [&](std::size_t i) {
      const std::size_t index = single_scenes + i % mixed_scenes;
      scenes::Random random(mix(31) ^ i);
      const scenes::Scene scene = this->scene(index);
      return scenes::Sample{index, scene,
                            scenes::make_turns(scene, scenes::Split::train, scenes::Task::detail, random)};
    });
    write_lines("conversations.jsonl", single_talks + mixed_talks, [&](std::size_t i) {
      const bool single = i < single_talks;
      const std::size_t index = single ? i % single_scenes : single_scenes + (i - single_talks) % mixed_scenes;
      scenes::Random random(mix(32) ^ i);
      const scenes::Scene scene = this->scene(index);
      return scenes::Sample{index, scene, talk(scene, 5, random)};
    });
  }

 private:
  scenes::Scene scene(std::size_t index) const {
    return scenes::make_scene(world(World::conversations, 1, index < single_scenes ? 1 : 3), index);
  }

  template <class MakeSample>
  void write_lines(const char* name, std::size_t count, MakeSample&& make) const {
    if (std::filesystem::exists(folder / name)) return;
    io::AtomicFile file(folder / name);
    for (std::size_t i = 0; i < count; ++i) file.write(to_json(make(i), scenes::Split::train).dump() + "\n");
    file.commit();
  }
};

}  // namespace tessera::demo

#pragma once
/// Scenes with their texts: batches in memory and data sets on disk in LLaVA's conversation format.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "render.hpp"
#include "scene.hpp"
#include "texts.hpp"

namespace tessera::scenes {

struct DatasetOptions {
  SceneOptions scene;
  std::vector<Task> tasks = {Task::caption,   Task::detail,   Task::attribute, Task::count,
                             Task::existence, Task::relation, Task::size,      Task::dialogue};
  int tasks_per_scene = 1;  ///< drawn anew for each scene; a task that is listed twice comes twice as often
};

inline void validate(const DatasetOptions& options) {
  validate(options.scene);
  if (options.tasks.empty() || options.tasks_per_scene < 1) fail("scenes: expected at least one task for each scene");
}

struct Sample {
  std::uint64_t index = 0;
  Scene scene;
  std::vector<Turn> turns;  ///< empty where none of the tasks applies to the scene
};

/// Turns of as many different tasks as wanted, drawn from the list; fewer where few apply to the scene.
inline std::vector<Turn> draw_turns(const Scene& scene, Split split, std::vector<Task> tasks, int wanted,
                                    Random& random) {
  std::vector<Turn> drawn;
  random.shuffle(tasks);
  for (const Task task : tasks) {
    if (wanted == 0) break;
    const std::vector<Turn> turns = make_turns(scene, split, task, random);
    drawn.insert(drawn.end(), turns.begin(), turns.end());
    wanted -= turns.empty() ? 0 : 1;
  }
  return drawn;
}

inline Sample make_sample(const DatasetOptions& options, std::uint64_t index) {
  Sample sample{index, make_scene(options.scene, index), {}};
  Random random = random_stream(options.scene, index, Stream::texts);
  sample.turns = draw_turns(sample.scene, options.scene.split, options.tasks, options.tasks_per_scene, random);
  return sample;
}

/// Hands `count` samples to `receive`, from scene number `first` on; scenes that none of the tasks suits are left out.
inline void for_each_sample(const DatasetOptions& options, std::uint64_t first, std::size_t count,
                            const std::function<void(const Sample&)>& receive) {
  validate(options);
  constexpr int most_misses = 1000;
  int misses = 0;
  for (std::uint64_t index = first; count > 0; ++index) {
    const Sample sample = make_sample(options, index);
    if (sample.turns.empty()) {
      if (++misses == most_misses)
        fail("scenes: none of the tasks suits scenes of ", options.scene.min_objects, "-", options.scene.max_objects,
             " objects");
      continue;
    }
    misses = 0;
    receive(sample);
    --count;
  }
}

inline std::vector<Sample> make_samples(const DatasetOptions& options, std::uint64_t first, std::size_t count) {
  std::vector<Sample> samples;
  samples.reserve(count);
  for_each_sample(options, first, count, [&](const Sample& sample) { samples.push_back(sample); });
  return samples;
}

/// "000042.png", from the scene's number.
inline std::string image_name(std::uint64_t index) {
  const std::string digits = std::to_string(index);
  return std::string(digits.size() < 6 ? 6 - digits.size() : 0, '0') + digits + ".png";
}

/// One record of LLaVA's format. `tasks` (one a question) and `objects` (with boxes in pixels) are further fields,
/// which readers of that format ignore.
inline nlohmann::ordered_json to_json(const Sample& sample, Split split) {
  nlohmann::ordered_json record;
  record["id"] = detail::join(name_of(split), "-", sample.index);
  record["image"] = "images/" + image_name(sample.index);
  record["conversations"] = nlohmann::ordered_json::array();
  record["tasks"] = nlohmann::ordered_json::array();
  for (const Turn& turn : sample.turns) {
    const std::string image = record["conversations"].empty() ? "<image>\n" : "";
    record["conversations"].push_back({{"from", "human"}, {"value", image + turn.question}});
    record["conversations"].push_back({{"from", "gpt"}, {"value", turn.answer}});
    record["tasks"].push_back(name_of(turn.task));
  }
  record["objects"] = nlohmann::ordered_json::array();
  for (const Object& object : sample.scene.objects) {
    const Box box = Outline(object).box();
    record["objects"].push_back({{"shape", name_of(object.shape)},
                                 {"color", name_of(object.color)},
                                 {"size", name_of(object.size)},
                                 {"place", detail::place_name(object)},
                                 {"box", {box.left, box.top, box.right, box.bottom}}});
  }
  return record;
}

}  // namespace tessera::scenes

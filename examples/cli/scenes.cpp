// tessera scenes: the demo world's images and texts.

#include <memory>

#include <CLI/CLI.hpp>

#include "cli/commands.hpp"
#include "cli/scenes_command.hpp"

namespace tessera::cli {

void add_scenes(CLI::App& app) {
  CLI::App* command = app.add_subcommand("scenes", "Write images and texts of the demo world");
  const auto o = std::make_shared<ScenesOptions>();
  command->add_option("--out", o->out, "Folder to write to")->required();
  command->add_option("--count", o->count, "Samples to write")->capture_default_str();
  command->add_option("--first", o->first, "Number of the first scene")->capture_default_str();
  command->add_option("--seed", o->seed, "Of the world")->capture_default_str();
  command->add_option("--size", o->size, "Of the images, WxH in pixels")->capture_default_str();
  command->add_option("--objects", o->objects, "Objects in a scene, MIN-MAX, at most 5")->capture_default_str();
  command->add_option("--split", o->split, "train, test, or holdout (pairs of shape and colour never seen in training)")
      ->capture_default_str();
  command->add_option("--tasks", o->tasks, "Kinds of questions, separated by commas (default: all)")->delimiter(',');
  command->add_option("--tasks-per-scene", o->tasks_per_scene, "Questions about one image")->capture_default_str();
  command->add_option("--images", o->image_files, "png: a file each; npy: one array of all")->capture_default_str();
  command->callback([o] { run_scenes(*o); });
}

}  // namespace tessera::cli

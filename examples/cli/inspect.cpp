// tessera inspect: what a folder's model is, without reading its weights.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include "tessera/hub/llava.hpp"
#include "tessera/model/session.hpp"
#include "tessera/ops/native.hpp"
#include "tessera/train/stage.hpp"

#include "cli/commands.hpp"
#include "cli/runtime.hpp"

namespace tessera::cli {
namespace {

struct InspectOptions {
  std::string model, vision_tower;
  bool json = false;
  Limits limits;
  RuntimeOptions runtime;
};

struct Slot {
  const char* name;
  std::string type, shape;
  std::string_view format;
  std::size_t params = 0, bytes = 0;
  std::array<bool, 2> trained{};  // in stage 1, in stage 2
};

/// The slot `SlotOf` of a model; the stages' types say where it trains.
template <class SlotOf, class L>
Slot describe(const char* name, std::string type, std::string shape, DType format, const L& layer) {
  Slot slot{name,
            std::move(type),
            std::move(shape),
            name_of(format),
            0,
            0,
            {train::llava_stage1::trains<SlotOf>, train::llava_stage2::trains<SlotOf>}};
  for_each_param(
      [&](const std::string&, const auto& weight) {
        slot.params += weight.size();
        slot.bytes += weight.bytes();
      },
      layer);
  return slot;
}

struct Report {
  std::string system, type;
  std::vector<Slot> slots;
  int image_tokens = 0;
  MemoryPlan memory;
};

std::string text(int number) { return std::to_string(number); }

template <class Model, class Config>
Report examine(const Config& config, const InspectOptions& options) {
  const hub::SlotFormats formats = options.runtime.formats(config.stored);
  const Model model = hub::build_llava<Model>(config, formats);

  const std::string projector =
      config.projector_depth == 1 ? "LinearProjector" : "MLPProjector<" + text(config.projector_depth) + ", Gelu>";
  const auto& vision = config.vision;
  const auto& language = config.text;
  Report report;
  report.system = config.projector_depth == 1   ? "LLaVA"
                  : config.projector_depth == 2 ? "LLaVA-1.5"
                                                : "LLaVA with a deeper projector";
  report.type = "Vlm<ViT (CLIP), " + projector + ", Llama, splice::AtImageToken>";
  report.slots = {
      describe<slot::Vision>("vision", "ViT (CLIP)",
                             text(static_cast<int>(model.vision.encoder.layers.size())) + " of " + text(vision.depth) +
                                 " blocks, width " + text(vision.width) + ", " + text(vision.heads) + " heads, " +
                                 text(vision.image_size) + " px / " + text(vision.patch_size),
                             formats.vision, model.vision),
      describe<slot::Connector>("connector", projector,
                                text(model.connector.in()) + " -> " + text(model.connector.out()), formats.connector,
                                model.connector),
      describe<slot::Language>("language", "Llama",
                               text(language.depth) + " blocks, width " + text(language.width) + ", " +
                                   text(language.heads) + " heads, " + text(tessera::detail::kv_heads_of(language)) +
                                   " kv, vocabulary " + text(language.vocab),
                               formats.language, model.language)};
  report.image_tokens = model.image_tokens();
  report.memory = plan_session(model, ops::Native(), options.limits, options.runtime.threads);
  return report;
}

void print_table(const Report& report, const InspectOptions& options) {
  constexpr double mib = 1 << 20;
  std::printf("%s = %s\n\n", report.system.c_str(), report.type.c_str());
  std::printf("%-10s %-22s %-52s %14s %6s %10s  %-8s %-8s\n", "slot", "type", "shape", "parameters", "format", "MiB",
              "stage 1", "stage 2");
  std::size_t params = 0, bytes = 0;
  for (const Slot& slot : report.slots) {
    std::printf("%-10s %-22s %-52s %14zu %6s %10.1f  %-8s %-8s\n", slot.name, slot.type.c_str(), slot.shape.c_str(),
                slot.params, slot.format.data(), static_cast<double>(slot.bytes) / mib,
                slot.trained[0] ? "trained" : "frozen", slot.trained[1] ? "trained" : "frozen");
    params += slot.params;
    bytes += slot.bytes;
  }
  std::printf("%-10s %-22s %-52s %14zu %6s %10.1f\n\n", "all", "", "", params, "", static_cast<double>(bytes) / mib);
  std::printf("image tokens    %d for each image\n", report.image_tokens);
  std::printf(
      "memory plan     %d image(s), %d tokens: weights %.1f MiB, key/value cache %.1f MiB, workspace %.1f MiB\n",
      options.limits.images, options.limits.tokens, static_cast<double>(bytes) / mib,
      static_cast<double>(report.memory.cache) / mib, static_cast<double>(report.memory.workspace) / mib);
  std::printf("kernels         %s (this CPU has %s), %d thread(s)\n", name_of(active_isa()).data(),
              name_of(detected_isa()).data(), options.runtime.threads);
}

void print_json(const Report& report, const InspectOptions& options) {
  io::json slots = io::json::array();
  for (const Slot& slot : report.slots) {
    slots.push_back({{"slot", slot.name},
                     {"type", slot.type},
                     {"shape", slot.shape},
                     {"parameters", slot.params},
                     {"format", slot.format},
                     {"bytes", slot.bytes},
                     {"trained", {{"stage1", slot.trained[0]}, {"stage2", slot.trained[1]}}}});
  }
  const io::json result{{"system", report.system},
                        {"type", report.type},
                        {"slots", slots},
                        {"image_tokens", report.image_tokens},
                        {"limits", {{"images", options.limits.images}, {"tokens", options.limits.tokens}}},
                        {"cache_bytes", report.memory.cache},
                        {"workspace_bytes", report.memory.workspace},
                        {"isa", name_of(active_isa())},
                        {"cpu_isa", name_of(detected_isa())},
                        {"threads", options.runtime.threads}};
  std::printf("%s\n", result.dump(2).c_str());
}

void run(const InspectOptions& options) {
  options.runtime.apply();
  const auto config = hub::read_llava_config(options.model, options.vision_tower);
  const Report report = hub::with_llava_type(config, [&]<class Model>() { return examine<Model>(config, options); });
  options.json ? print_json(report, options) : print_table(report, options);
}

}  // namespace

void add_inspect(CLI::App& app) {
  CLI::App* command = app.add_subcommand("inspect", "The assembled model, its slots, memory plan and kernels");
  const auto options = std::make_shared<InspectOptions>();
  command->add_option("--model", options->model, "Model folder")->required();
  command->add_option("--vision-tower", options->vision_tower,
                      "Folder of the vision tower, where a checkpoint keeps it elsewhere");
  command->add_option("--images", options->limits.images, "Plan for so many images")
      ->check(CLI::Range(0, 1 << 10))
      ->capture_default_str();
  command->add_option("--tokens", options->limits.tokens, "Plan for so many tokens")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print JSON");
  options->runtime.add_to(*command);
  command->callback([options] { run(*options); });
}

}  // namespace tessera::cli

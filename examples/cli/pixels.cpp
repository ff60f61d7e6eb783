// tessera pixels: an image file as the vision tower gets it.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include <CLI/CLI.hpp>

#include "tessera/hub/llava_folder.hpp"
#include "tessera/io/decode_image.hpp"
#include "tessera/io/image_processor.hpp"
#include "tessera/io/npy.hpp"

#include "cli/commands.hpp"

namespace tessera::cli {
namespace {

struct PixelsOptions {
  std::filesystem::path model, vision_tower, image, out;
};

/// The original layout describes its images in two folders. Of others, preprocessor_config.json is enough.
io::Pixels read(const PixelsOptions& options) {
  const auto config = options.model / "config.json";
  if (std::filesystem::exists(config) && hub::is_original_layout(io::read_json_file(config)))
    return hub::LlavaFolder::open(options.model, options.vision_tower).pixels(options.image);
  return io::load_image_processor(options.model).preprocess(io::decode_image(options.image));
}

void run(const PixelsOptions& options) {
  const io::Pixels pixels = read(options);
  const std::int64_t shape[] = {1, pixels.channels, pixels.height, pixels.width};
  io::write_npy(options.out, DType::f32, shape, std::as_bytes(std::span(pixels.values)));
}

}  // namespace

void add_pixels(CLI::App& app) {
  CLI::App* command = app.add_subcommand("pixels", "Preprocessing alone: an image file to a float32 .npy array");
  const auto options = std::make_shared<PixelsOptions>();
  command->add_option("--model", options->model, "Folder with preprocessor_config.json")->required();
  command->add_option("--vision-tower", options->vision_tower,
                      "Folder of the vision tower, where a checkpoint keeps it elsewhere");
  command->add_option("--image", options->image, "Image file, JPEG or PNG")->required();
  command->add_option("--out", options->out, "The .npy file to write")->required();
  command->callback([options] { run(*options); });
}

}  // namespace tessera::cli

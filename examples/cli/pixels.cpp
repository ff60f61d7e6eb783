// tessera pixels: an image file as the vision tower gets it.

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <CLI/CLI.hpp>

#include "tessera/io/decode_image.hpp"
#include "tessera/io/image_processor.hpp"
#include "tessera/io/npy.hpp"

#include "cli/commands.hpp"

namespace tessera::cli {
namespace {

struct PixelsOptions {
  std::string model, image, out;
};

void run(const PixelsOptions& options) {
  const io::ImageProcessor processor = io::load_image_processor(options.model);
  const io::Pixels pixels = processor.preprocess(io::decode_image(options.image));
  const std::int64_t shape[] = {1, pixels.channels, pixels.height, pixels.width};
  io::write_npy(options.out, DType::f32, shape, std::as_bytes(std::span(pixels.values)));
}

}  // namespace

void add_pixels(CLI::App& app) {
  CLI::App* command = app.add_subcommand("pixels", "Preprocessing alone: an image file to a float32 .npy array");
  const auto options = std::make_shared<PixelsOptions>();
  command->add_option("--model", options->model, "Folder with preprocessor_config.json")->required();
  command->add_option("--image", options->image, "Image file, JPEG or PNG")->required();
  command->add_option("--out", options->out, "The .npy file to write")->required();
  command->callback([options] { run(*options); });
}

}  // namespace tessera::cli

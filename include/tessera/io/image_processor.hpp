#pragma once
/// From a picture to a vision tower's input, as a checkpoint's preprocessor_config.json describes it.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/decode_options.hpp"
#include "tessera/io/image.hpp"
#include "tessera/io/json.hpp"
#include "tessera/io/resize.hpp"

namespace tessera::io {

/// Normalised pixels, [channels, height, width].
struct Pixels {
  int channels = 3;
  int height = 0;
  int width = 0;
  std::vector<float> values;
};

/// The image in the middle of a square of its longer side; the rest has `colour`. LLaVA-1.5's `expand2square`. Throws
/// an Error for a square that the decoders would refuse: a long, thin image becomes large.
inline Image expand_to_square(const Image& image, Rgb colour) {
  if (image.width == image.height) return image;
  const int side = std::max(image.width, image.height);
  check_decoded_size(side, side, "expand_to_square", {});
  Image square = filled_image(side, side, colour);
  const int left = (side - image.width) / 2, top = (side - image.height) / 2;
  const std::size_t row_bytes = std::size_t{3} * image.width;
  for (int y = 0; y < image.height; ++y) {
    std::copy_n(image.row(y), row_bytes, square.row(top + y) + std::size_t{3} * left);
  }
  return square;
}

/// The preprocessing of CLIP and LLaVA: [pad to a square,] resize, centre crop, rescale, normalise. Bit-equal to the
/// `CLIPImageProcessorPil` and `LlavaImageProcessorPil` of transformers 5.24; the defaults are theirs.
struct ImageProcessor {
  /// The shorter side becomes `pixels` long, the longer one follows, rounded down.
  struct ShortestEdge {
    int pixels;
  };
  struct Size {
    int height;
    int width;
  };

  bool pad_to_square = false;  ///< LLaVA-1.5's `image_aspect_ratio = pad`: with the mean colour, before the resize
  bool do_resize = true;
  std::variant<ShortestEdge, Size> size = ShortestEdge{224};
  Resample resample = Resample::bicubic;
  bool do_center_crop = true;
  Size crop_size = {224, 224};
  bool do_rescale = true;
  double rescale_factor = 1.0 / 255;
  bool do_normalize = true;
  std::array<double, 3> mean = {0.48145466, 0.4578275, 0.40821073};
  std::array<double, 3> deviation = {0.26862954, 0.26130258, 0.27577711};

  Pixels preprocess(const Image& image) const;

  /// The size of the result where it does not depend on the image.
  std::optional<Size> output_size() const {
    if (do_center_crop) return crop_size;
    if (!do_resize) return std::nullopt;
    if (const Size* exact = std::get_if<Size>(&size)) return *exact;
    const int edge = std::get<ShortestEdge>(size).pixels;
    return pad_to_square ? std::optional(Size{edge, edge}) : std::nullopt;
  }

  /// The colour of the padding: (122, 116, 104) for CLIP's mean.
  Rgb mean_colour() const {
    Rgb colour;
    std::transform(mean.begin(), mean.end(), colour.begin(),
                   [](double value) { return static_cast<std::uint8_t>(std::clamp(value * 255, 0.0, 255.0)); });
    return colour;
  }

 private:
  Size resized_size(const Image& image) const {
    if (const Size* exact = std::get_if<Size>(&size)) return *exact;
    const std::int64_t edge = std::get<ShortestEdge>(size).pixels;
    const int shorter = std::min(image.width, image.height), longer = std::max(image.width, image.height);
    const double other = static_cast<double>(edge * longer) / shorter;
    constexpr double max_side = 1 << 28;
    if (other > max_side) fail("an image of ", image.width, " x ", image.height, " pixels is too narrow to be resized");
    const int shortest = static_cast<int>(edge), longest = static_cast<int>(other);
    return image.width <= image.height ? Size{longest, shortest} : Size{shortest, longest};
  }

  /// Bytes have few values, so rescaling and normalising is a look-up. The roundings are the reference's: to float32
  /// after a product in double, then float32 arithmetic.
  std::array<float, 256> values_of_channel(int channel) const {
    std::array<float, 256> values;
    for (int i = 0; i < 256; ++i) {
      float value = do_rescale ? static_cast<float>(i * rescale_factor) : static_cast<float>(i);
      if (do_normalize) value = (value - static_cast<float>(mean[channel])) / static_cast<float>(deviation[channel]);
      values[i] = value;
    }
    return values;
  }
};

/// The pixels of one image. Where the crop is larger than the image, black surrounds it. Throws an Error for an empty
/// image and for one so long and thin that the resized one would be absurd.
inline Pixels ImageProcessor::preprocess(const Image& image) const {
  check_image(image, "image processor");
  Image adjusted = pad_to_square ? expand_to_square(image, mean_colour()) : image;
  if (do_resize) {
    const Size target = resized_size(adjusted);
    adjusted = resize(adjusted, target.width, target.height, resample);
  }
  const Size crop = do_center_crop ? crop_size : Size{adjusted.height, adjusted.width};
  if (crop.height < 1 || crop.width < 1)
    fail("a crop of ", crop.width, " x ", crop.height, " pixels, expected 1 or more");
  const int top = (adjusted.height - crop.height) >> 1, left = (adjusted.width - crop.width) >> 1;  // rounded down

  Pixels pixels{3, crop.height, crop.width, std::vector<float>(std::size_t{3} * crop.height * crop.width)};
  float* target = pixels.values.data();
  for (int channel = 0; channel < 3; ++channel) {
    const std::array<float, 256> values = values_of_channel(channel);
    for (int y = top; y < top + crop.height; ++y) {
      const bool row_inside = y >= 0 && y < adjusted.height;
      for (int x = left; x < left + crop.width; ++x) {
        const bool inside = row_inside && x >= 0 && x < adjusted.width;
        *target++ = values[inside ? adjusted.row(y)[std::size_t{3} * x + channel] : 0];
      }
    }
  }
  return pixels;
}

namespace detail {

inline int checked_side(int side, const std::string& where) {
  constexpr int max_side = 16'384;
  if (side < 1 || side > max_side) fail(where, ": ", side, " found, expected 1 to ", max_side, " pixels");
  return side;
}

/// {"height": h, "width": w}.
inline ImageProcessor::Size read_size(const json& value, const std::string& where) {
  return {checked_side(require<int>(value, "height", where), where + ": height"),
          checked_side(require<int>(value, "width", where), where + ": width")};
}

inline std::array<double, 3> read_channel_values(const json& config, std::string_view key,
                                                 const std::array<double, 3>& fallback, const std::string& where) {
  const auto values = value_or(config, key, std::vector<double>(fallback.begin(), fallback.end()), where);
  const bool finite = std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
  if (values.size() != 3 || !finite) fail(where, ": ", key, ": expected three numbers, one a channel");
  return {values[0], values[1], values[2]};
}

inline bool is_llava_processor(const json& config, const std::string& where) {
  constexpr std::string_view clip_types[] = {"CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil",
                                             "CLIPFeatureExtractor"};
  constexpr std::string_view llava_types[] = {"LlavaImageProcessor", "LlavaImageProcessorFast",
                                              "LlavaImageProcessorPil"};
  const auto older_key = value_or<std::string>(config, "feature_extractor_type", "CLIPImageProcessor", where);
  const auto type = value_or<std::string>(config, "image_processor_type", older_key, where);
  const bool llava = std::ranges::find(llava_types, type) != std::end(llava_types);
  if (!llava && std::ranges::find(clip_types, type) == std::end(clip_types)) {
    fail(where, ": the image processor ", in_quotes(type), " is unknown, expected CLIPImageProcessor or ",
         "LlavaImageProcessor");
  }
  return llava;
}

}  // namespace detail

/// The processor that the content of a preprocessor_config.json describes. Missing keys mean the defaults of
/// transformers; `where` is the file's name for errors. `do_convert_rgb` needs no heed: images are RGB here.
inline ImageProcessor parse_image_processor(const json& config, const std::string& where) {
  ImageProcessor processor;
  const bool llava = detail::is_llava_processor(config, where);
  processor.pad_to_square = llava && value_or(config, "do_pad", false, where);  // CLIP's do_pad pads to the batch
  processor.do_resize = value_or(config, "do_resize", processor.do_resize, where);
  if (const json size = config.value("size", json()); size.is_object() && size.contains("shortest_edge")) {
    if (size.contains("longest_edge")) fail(where, ": size: a longest_edge is not supported");
    processor.size = ImageProcessor::ShortestEdge{
        detail::checked_side(require<int>(size, "shortest_edge", where + ": size"), where + ": size")};
  } else if (size.is_object()) {
    processor.size = detail::read_size(size, where + ": size");
  } else if (!size.is_null()) {
    processor.size =
        ImageProcessor::ShortestEdge{detail::checked_side(json_as<int>(size, where + ": size"), where + ": size")};
  }
  const int filter = value_or(config, "resample", static_cast<int>(processor.resample), where);
  if (filter < 0 || filter > 5) fail(where, ": resample: ", filter, " found, expected one of Pillow's filters 0 to 5");
  processor.resample = static_cast<Resample>(filter);

  processor.do_center_crop = value_or(config, "do_center_crop", processor.do_center_crop, where);
  if (const json crop = config.value("crop_size", json()); crop.is_object()) {
    processor.crop_size = detail::read_size(crop, where + ": crop_size");
  } else if (!crop.is_null()) {
    const int side = detail::checked_side(json_as<int>(crop, where + ": crop_size"), where + ": crop_size");
    processor.crop_size = {side, side};
  }

  processor.do_rescale = value_or(config, "do_rescale", processor.do_rescale, where);
  processor.rescale_factor = value_or(config, "rescale_factor", processor.rescale_factor, where);
  if (!std::isfinite(processor.rescale_factor)) fail(where, ": rescale_factor is not finite");
  processor.do_normalize = value_or(config, "do_normalize", processor.do_normalize, where);
  processor.mean = detail::read_channel_values(config, "image_mean", processor.mean, where);
  processor.deviation = detail::read_channel_values(config, "image_std", processor.deviation, where);
  for (const double deviation : processor.deviation) {
    if (static_cast<float>(deviation) == 0.0f) fail(where, ": image_std: 0 found, expected other numbers");
  }
  return processor;
}

/// Where a model folder describes its image processor: the `image_processor` inside its processor_config.json where
/// there is one (as transformers 5 writes it), else its preprocessor_config.json.
struct ImageProcessorConfig {
  std::filesystem::path file;
  json document;  ///< all of the file
  bool nested = false;

  const json& content() const { return nested ? document.at("image_processor") : document; }
  json& content() { return nested ? document.at("image_processor") : document; }
  /// For errors.
  std::string where() const { return file.string() + (nested ? ": image_processor" : ""); }
};

inline ImageProcessorConfig find_image_processor_config(const std::filesystem::path& folder) {
  if (const auto path = folder / "processor_config.json"; std::filesystem::exists(path)) {
    json whole = read_json_file(path);
    if (whole.is_object() && whole.contains("image_processor")) return {path, std::move(whole), true};
  }
  const auto path = folder / "preprocessor_config.json";
  return {path, read_json_file(path)};
}

/// The image processor of a model folder.
inline ImageProcessor load_image_processor(const std::filesystem::path& folder) {
  const ImageProcessorConfig config = find_image_processor_config(folder);
  return parse_image_processor(config.content(), config.where());
}

}  // namespace tessera::io

#pragma once
/// Everything in a LLaVA folder but the weights: config, tokenizer, image processor, prompt format.

#include <filesystem>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tessera/hub/generation_config.hpp"
#include "tessera/hub/llava_config.hpp"
#include "tessera/io/conversation.hpp"
#include "tessera/io/decode_image.hpp"
#include "tessera/io/image_processor.hpp"
#include "tessera/io/tokenizer.hpp"

namespace tessera::hub {

/// The text of an answer, token by token. The blank that many models put before the first word is left out: it belongs
/// to the prompt's last colon.
class AnswerStream {
 public:
  /// The tokenizer must outlive the stream.
  explicit AnswerStream(const io::Tokenizer& tokenizer) : stream_(tokenizer) {}

  /// What is new and certain in the text, complete UTF-8.
  std::string push(int id) { return without_leading_blanks(stream_.push(id)); }
  std::string finish() { return without_leading_blanks(stream_.finish()); }

 private:
  std::string without_leading_blanks(std::string text) {
    if (leading_) text.erase(0, text.find_first_not_of(' '));
    leading_ &= text.empty();
    return text;
  }

  io::TokenStream stream_;
  bool leading_ = true;
};

struct LlavaFolder {
  LlavaConfig<> config;
  GenerationConfig generation;
  io::Tokenizer tokenizer;
  io::ImageProcessor processor;
  io::ConversationTemplate conversation;

  /// Reads a folder in any of the published layouts. `vision_tower` overrides where the original layout looks for its
  /// tower.
  static LlavaFolder open(const std::filesystem::path& folder, const std::filesystem::path& vision_tower = {});

  /// An image file as the vision tower gets it. EXIF orientation counts as in the layout's reference: transformers
  /// applies it, the original code does not.
  io::Pixels pixels(const std::filesystem::path& image) const {
    return processor.preprocess(io::decode_image(image, {.apply_exif_orientation = !config.original_layout}));
  }

  /// All that `pixels` depends on besides the image, to tell caches of what it makes apart.
  std::string pixels_description() const;

  /// A question with the placeholders of its images in front, as the family was trained.
  std::string with_images(const std::string& question, std::size_t images) const {
    const std::string mark(config.image_start_end ? "<im_start><image><im_end>\n" : "<image>\n");
    std::string text;
    for (std::size_t i = 0; i < images; ++i) text += mark;
    return text + question;
  }

  /// The prompt of a conversation whose last turn is the user's.
  std::string format(std::span<const io::Turn> turns) const {
    return io::format_conversation(conversation, turns, true);
  }

  /// The text of an answer, as AnswerStream gives it.
  std::string answer_text(std::span<const int> ids) const {
    AnswerStream stream(tokenizer);
    std::string text;
    for (const int id : ids) text += stream.push(id);
    return text + stream.finish();
  }

  /// Ids of a prompt in which each `<image>` stands for one image of `rows_per_image` rows. Throws Error unless it has
  /// exactly `images` of them.
  std::vector<int> prompt_ids(std::string_view prompt, std::size_t images, int rows_per_image) const {
    std::size_t placeholders = 0;
    for (std::size_t at = prompt.find(io::image_placeholder); at != prompt.npos;
         at = prompt.find(io::image_placeholder, at + io::image_placeholder.size())) {
      ++placeholders;
    }
    if (placeholders != images) {
      fail("the prompt has ", placeholders, " <image> placeholder(s), but ", images,
           " image(s) are given: expected one for each");
    }
    const std::vector<int> rows(images, rows_per_image);
    if (!config.original_layout) return io::tokenize_with_image_rows(tokenizer, prompt, rows);
    std::vector<int> ids;
    for (const int id : io::tokenize_with_image_sentinels(tokenizer, prompt, config.image_token)) {
      ids.insert(ids.end(), id == config.image_token ? static_cast<std::size_t>(rows_per_image) : 1, id);
    }
    return ids;
  }
};

inline std::string LlavaFolder::pixels_description() const {
  const io::ImageProcessor& p = processor;
  std::ostringstream text;
  text.precision(17);
  text << (config.original_layout ? "as stored" : "upright") << (p.pad_to_square ? " pad" : "");
  if (p.do_resize) {
    text << " resize " << static_cast<int>(p.resample) << " to ";
    if (const auto* exact = std::get_if<io::ImageProcessor::Size>(&p.size)) {
      text << exact->height << "x" << exact->width;
    } else {
      text << std::get<io::ImageProcessor::ShortestEdge>(p.size).pixels;
    }
  }
  if (p.do_center_crop) text << " crop " << p.crop_size.height << "x" << p.crop_size.width;
  if (p.do_rescale) text << " rescale " << p.rescale_factor;
  if (p.do_normalize) {
    text << " normalize";
    for (int channel = 0; channel < 3; ++channel) text << " " << p.mean[channel] << "/" << p.deviation[channel];
  }
  return text.str();
}

namespace detail {

/// The template that LLaVA's own programs pick from a model's name (llava/eval/run_llava.py), and for LLaVA-1.5 that of
/// its evaluation scripts.
inline io::ConversationTemplate original_template(const std::string& folder_name, int projector_depth) {
  if (folder_name.find("llama-2") != folder_name.npos) return io::ConversationTemplate::llava_llama_2;
  if (projector_depth > 1) return io::ConversationTemplate::vicuna_v1;
  if (folder_name.find("v1") != folder_name.npos) return io::ConversationTemplate::llava_v1;
  return io::ConversationTemplate::llava_v0;
}

/// The image processor must make what the tower reads.
inline void check_image_size(const io::ImageProcessor& processor, const std::string& processor_where, int image_size,
                             const std::string& config_where) {
  const auto made = processor.output_size();
  if (made && made->width == image_size && made->height == image_size) return;
  const std::string size = made ? std::to_string(made->width) + " x " + std::to_string(made->height) + " pixels"
                                : std::string("no fixed size");
  fail(processor_where, ": the images have ", size, ", expected ", image_size, " x ", image_size,
       " pixels, the image_size of ", config_where);
}

}  // namespace detail

inline LlavaFolder LlavaFolder::open(const std::filesystem::path& folder, const std::filesystem::path& vision_tower) {
  if (!std::filesystem::is_directory(folder)) fail(folder.string(), ": the model folder is missing or not a folder");
  LlavaConfig<> config = read_llava_config(folder, vision_tower);
  const std::filesystem::path tower = config.original_layout ? config.vision_tower : folder;
  const io::ImageProcessorConfig found = io::find_image_processor_config(tower);
  io::ImageProcessor processor = io::parse_image_processor(found.content(), found.where());
  processor.pad_to_square |= config.pad_to_square;
  detail::check_image_size(processor, found.where(), config.vision.image_size, (tower / "config.json").string());
  const std::string name = std::filesystem::absolute(folder).lexically_normal().filename().string();
  const auto conversation = config.original_layout ? detail::original_template(name, config.projector_depth)
                                                   : io::ConversationTemplate::hugging_face;
  return {std::move(config), read_generation_config(folder), io::Tokenizer::from_folder(folder), processor,
          conversation};
}

}  // namespace tessera::hub

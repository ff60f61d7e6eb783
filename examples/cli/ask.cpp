// tessera ask: load, look, read, answer.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <unistd.h>

#include "tessera/hub/llava_folder.hpp"
#include "tessera/model/generate.hpp"

#include "cli/commands.hpp"
#include "cli/dump.hpp"
#include "cli/engine.hpp"
#include "cli/progress.hpp"
#include "cli/stopwatch.hpp"

namespace tessera::cli {
namespace {

struct AskOptions {
  std::string model, vision_tower, messages, conversation, dump;
  std::vector<std::string> images;
  std::optional<std::string> prompt;
  bool raw_prompt = false, quiet = false;
  int max_new = 512;
  // Absent: what the model's generation_config.json says.
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<float> length_penalty;
  std::optional<int> top_k, beams;
  std::uint64_t seed = 0;
  RuntimeOptions runtime;
};

struct Timing {
  double load = 0, vision = 0, prefill = 0, decode = 0;
  int image_count = 0, prompt_tokens = 0, new_tokens = 0;

  void print() const {
    std::printf(
        "[load %.2f s | vision %.3f s, %d image(s) | prefill %.3f s, %d tokens, %.1f tokens/s | decode %.3f s, %d "
        "tokens, %.1f tokens/s]\n",
        load, vision, image_count, prefill, prompt_tokens, prompt_tokens / std::max(prefill, 1e-9), decode, new_tokens,
        new_tokens / std::max(decode, 1e-9));
  }
};

std::unique_ptr<Engine> make_engine(const EngineOptions& options) {
  const std::string& backend = options.runtime.backend;
#if defined(TESSERA_CLI_ONEDNN)
  if (backend == "onednn") return make_onednn(options);
#endif
#if defined(TESSERA_CLI_EIGEN)
  if (backend == "eigen") return make_eigen(options);
#endif
  if (backend == "reference") return make_reference(options);
  if (backend != "native") fail("--backend ", backend, ": this build of the tool was made without that library");
  return make_native(options);
}

/// A loaded model that answers what the options ask.
class Asker {
 public:
  Asker(const AskOptions& options, const hub::LlavaFolder& folder)
      : options_(options), folder_(folder), images_(read_images()), engine_(load()) {
    timing_.load = watch_.lap();
  }

  /// One question: prints the answer as it comes.
  void answer(const std::string& prompt) {
    const std::vector<int> ids = folder_.prompt_ids(prompt, images_.size(), engine_->image_tokens());
    engine_->begin(limits(static_cast<int>(images_.size()), static_cast<int>(ids.size())));
    watch_.lap();
    encode();
    Dump dump(options_.dump);
    std::vector<float> all_logits(dump.wanted() ? ids.size() * static_cast<std::size_t>(engine_->vocab()) : 0);
    const Mat<float> all = dense(all_logits.data(), static_cast<int>(ids.size()), engine_->vocab());
    const auto logits = prefill(ids, dump.wanted() ? all : Mat<float>{});
    const std::vector<int> answer = decode(logits, ids);
    if (dump.wanted()) write(dump, ids, all, answer);
    if (!options_.quiet) timing_.print();
  }

  /// Questions from the terminal about the same images, until an empty line or the end of the input.
  void dialogue() {
    engine_->begin({.images = static_cast<int>(images_.size()), .tokens = engine_->positions()});
    watch_.lap();
    encode();
    std::vector<io::Turn> turns;
    std::vector<int> seen;
    for (std::string question;
         std::printf("> "), std::fflush(stdout), std::getline(std::cin, question) && !question.empty();) {
      turns.push_back({"user", turns.empty() ? folder_.with_images(question, images_.size()) : question});
      const std::vector<int> ids = folder_.prompt_ids(folder_.format(turns), images_.size(), engine_->image_tokens());
      const std::size_t known = static_cast<std::size_t>(
          std::mismatch(seen.begin(), seen.end(), ids.begin(), ids.end()).first - seen.begin());
      const auto image_rows = std::count_if(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(known),
                                            [&](int id) { return engine_->is_image_token(id); });
      engine_->rewind(static_cast<int>(known), static_cast<int>(image_rows));
      watch_.lap();
      const auto logits = prefill(std::span(ids).subspan(known), {});
      const std::vector<int> reply = decode(logits, ids);
      turns.push_back({"assistant", folder_.answer_text(reply)});
      seen = ids;
      if (!options_.quiet) timing_.print();
    }
  }

 private:
  std::unique_ptr<Engine> load() {
    ProgressBar bar("load", !options_.quiet);
    return make_engine({options_.model, &folder_.config, options_.runtime,
                        [&](std::uint64_t done, std::uint64_t total) { bar.update(done, total); }});
  }

  /// Room for the prompt and the answer, but no more than the model has positions.
  Limits limits(int images, int prompt_tokens) const {
    const int positions = std::max(engine_->positions(), 1);
    if (prompt_tokens >= positions) {
      fail("the prompt of ", prompt_tokens, " tokens (image rows included) does not fit the model's ", positions,
           " positions");
    }
    return {.images = images, .tokens = prompt_tokens + std::min(options_.max_new, positions - prompt_tokens)};
  }

  std::vector<io::Pixels> read_images() const {
    std::vector<io::Pixels> images;
    for (const std::string& file : options_.images) images.push_back(folder_.pixels(file));
    return images;
  }

  void encode() {
    ProgressBar bar("vision", !options_.quiet && images_.size() > 1);
    for (std::size_t i = 0; i < images_.size(); ++i) {
      engine_->encode(images_[i].values);
      bar.update(i + 1, images_.size());
    }
    timing_.vision = watch_.lap();
    timing_.image_count = static_cast<int>(images_.size());
  }

  std::span<const float> prefill(std::span<const int> ids, Mat<float> all_logits) {
    ProgressBar bar("prefill", !options_.quiet);
    const auto logits = engine_->prefill(
        ids,
        [&](int done, int total) { bar.update(static_cast<std::uint64_t>(done), static_cast<std::uint64_t>(total)); },
        all_logits);
    timing_.prefill = watch_.lap();
    timing_.prompt_tokens = static_cast<int>(ids.size());
    return logits;
  }

  std::vector<int> decode(std::span<const float> logits, std::span<const int> ids) {
    GenerateOptions how{.max_new = std::min(options_.max_new, engine_->limits().tokens - engine_->size()),
                        .end_ids = folder_.generation.eos,
                        .sampler = sampler()};
    if (const int beams = options_.beams.value_or(folder_.generation.beams); beams > 1)
      return decode_beams(logits, ids, beams, how.max_new);
    hub::AnswerStream stream(folder_.tokenizer);
    const auto print = [](const std::string& text) {
      std::fwrite(text.data(), 1, text.size(), stdout);
      std::fflush(stdout);
    };
    const std::vector<int> answer = generate(*engine_, logits, ids, how, [&](int id) {
      print(stream.push(id));
      return true;
    });
    print(stream.finish());
    std::printf("\n");
    timing_.decode = watch_.lap();
    timing_.new_tokens = static_cast<int>(answer.size());
    return answer;
  }

  /// A beam search cannot stream: its answer may change until the end.
  std::vector<int> decode_beams(std::span<const float> logits, std::span<const int> ids, int beams, int max_new) {
    const BeamOptions how{.beams = beams,
                          .max_new = max_new,
                          .length_penalty = options_.length_penalty.value_or(folder_.generation.length_penalty),
                          .repetition_penalty = sampler().repetition_penalty,
                          .end_ids = folder_.generation.eos};
    const std::vector<int> answer = engine_->beam_search(logits, ids, how);
    std::printf("%s\n", folder_.answer_text(answer).c_str());
    timing_.decode = watch_.lap();
    timing_.new_tokens = static_cast<int>(answer.size());
    return answer;
  }

  SamplerOptions sampler() const {
    SamplerOptions s = folder_.generation.sampler;
    s.temperature = options_.temperature.value_or(s.temperature);
    s.top_k = options_.top_k.value_or(s.top_k);
    s.top_p = options_.top_p.value_or(s.top_p);
    s.min_p = options_.min_p.value_or(s.min_p);
    s.repetition_penalty = options_.repetition_penalty.value_or(s.repetition_penalty);
    s.seed = options_.seed;
    return s;
  }

  void write(const Dump& dump, std::span<const int> ids, Mat<const float> logits, std::span<const int> answer) const {
    if (!images_.empty()) {
      dump.pixels(images_);
      dump.rows("vision_hidden", engine_->vision_hidden(), static_cast<int>(images_.size()));
      dump.rows("image_features", engine_->image_features(), 1);
    }
    dump.rows("logits", logits, 1);
    dump.ids("input_ids", ids);
    dump.ids("generated_ids", answer);
  }

  const AskOptions& options_;
  const hub::LlavaFolder& folder_;
  std::vector<io::Pixels> images_;  // read before the weights: they may be wrong, and weights take long
  Stopwatch watch_;
  Timing timing_;
  std::unique_ptr<Engine> engine_;
};

/// The prompt that the options ask for.
std::string prompt_text(const AskOptions& options, const hub::LlavaFolder& folder) {
  if (options.raw_prompt) return *options.prompt;
  if (options.prompt)
    return folder.format(std::vector{io::Turn{"user", folder.with_images(*options.prompt, options.images.size())}});
  const io::MappedFile file(options.messages);
  return folder.format(io::parse_messages(file.text(), options.messages));
}

void run(const AskOptions& options) {
  const bool has_question = options.prompt || !options.messages.empty();
  if (!has_question && isatty(STDIN_FILENO) == 0) throw CLI::RequiredError("--prompt or --messages");
  options.runtime.apply();
  hub::LlavaFolder folder = hub::LlavaFolder::open(options.model, options.vision_tower);
  if (!options.conversation.empty()) folder.conversation = io::conversation_template(options.conversation);
  const std::string prompt = has_question ? prompt_text(options, folder) : "";
  Asker asker(options, folder);
  has_question ? asker.answer(prompt) : asker.dialogue();
}

}  // namespace

void add_ask(CLI::App& app) {
  CLI::App* command = app.add_subcommand("ask", "Answer questions about images");
  const auto o = std::make_shared<AskOptions>();
  command->add_option("--model", o->model, "Model folder")->required();
  command->add_option("--vision-tower", o->vision_tower,
                      "Folder of the vision tower, where a checkpoint keeps it elsewhere");
  command->add_option("--image", o->images, "Image file, JPEG or PNG; may be repeated");
  CLI::Option* prompt = command->add_option("--prompt", o->prompt, "The question; without it, a dialogue");
  command->add_flag("--raw-prompt", o->raw_prompt, "Take the prompt as it is, with <image> where the images go")
      ->needs(prompt);
  command->add_option("--messages", o->messages, "A list of messages in a JSON file, as Hugging Face writes them")
      ->excludes(prompt);
  command->add_option("--template", o->conversation,
                      "Conversation template (hf, v1, llava_v1, llava_v0, llava_llama_2 ...; default: the family's)");
  command->add_option("--max-new", o->max_new, "New tokens at most")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--temperature", o->temperature, "0 takes the most likely token")->check(CLI::Range(0.0, 100.0));
  command->add_option("--top-k", o->top_k, "Draw from the K most likely tokens; 0 for all")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--top-p", o->top_p, "Draw from the fewest tokens that together have this probability")
      ->check(CLI::Range(1e-9, 1.0));
  command->add_option("--min-p", o->min_p, "Draw from tokens at least this likely relative to the best")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--repetition-penalty", o->repetition_penalty, "Divides the scores of tokens seen before")
      ->check(CLI::PositiveNumber);
  command->add_option("--seed", o->seed, "Of the draws")->capture_default_str();
  command->add_option("--dump", o->dump, "Folder that gets every intermediate result as .npy");
  command->add_flag("--quiet", o->quiet, "Print the answer only");
  command->add_option("--num-beams", o->beams, "Beams of a beam search; 1 for none")->check(CLI::Range(1, 64));
  command->add_option("--length-penalty", o->length_penalty,
                      "Exponent of the length that a beam's score is divided by");
  o->runtime.add_to(*command);
  o->runtime.add_backend_to(*command);
  command->callback([o] { run(*o); });
}

}  // namespace tessera::cli

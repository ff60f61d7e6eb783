#pragma once
// tessera ask with one compute backend: load, look, read, answer.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include "cli/ask.hpp"
#include "cli/dump.hpp"
#include "cli/progress.hpp"
#include "tessera/hub/llava_folder.hpp"
#include "tessera/model/beam_search.hpp"
#include "tessera/model/generate.hpp"
#include "tessera/model/session.hpp"

namespace tessera::cli {

class Stopwatch {
 public:
  /// Seconds since the last call.
  double lap() {
    const auto now = std::chrono::steady_clock::now(), before = std::exchange(last_, now);
    return std::chrono::duration<double>(now - before).count();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

struct Timing {
  double load = 0, vision = 0, prefill = 0, decode = 0;
  int image_count = 0, prompt_tokens = 0, new_tokens = 0;

  void print() const {
    std::printf("[load %.2f s | vision %.3f s, %d image(s) | prefill %.3f s, %d tokens, %.1f tokens/s | decode %.3f s, %d tokens, %.1f tokens/s]\n",
                load, vision, image_count, prefill, prompt_tokens, prompt_tokens / std::max(prefill, 1e-9), decode, new_tokens,
                new_tokens / std::max(decode, 1e-9));
  }
};

/// What a model needs besides its type: the folder, the files of the question, and how to answer.
template <class Model, class OpsT>
class Asker {
 public:
  Asker(const AskOptions& options, const hub::LlavaFolder& folder)
      : options_(options), folder_(folder), model_(load()), rows_per_image_(model_.image_tokens()) {
    timing_.load = watch_.lap();
  }

  /// One question: prints the answer as it comes.
  void answer(const std::string& prompt) {
    const std::vector<io::Pixels> images = read_images();
    const std::vector<int> ids = folder_.prompt_ids(prompt, images.size(), rows_per_image_);
    Session<Model, OpsT> session(model_, ops_, limits(static_cast<int>(images.size()), static_cast<int>(ids.size())),
                                 options_.runtime.threads);
    watch_.lap();
    encode(session, images);
    Dump dump(options_.dump);
    std::vector<float> all_logits(dump.wanted() ? ids.size() * static_cast<std::size_t>(model_.language.vocab()) : 0);
    const Mat<float> all = dense(all_logits.data(), static_cast<int>(ids.size()), model_.language.vocab());
    const auto logits = prefill(session, ids, dump.wanted() ? all : Mat<float>{});
    const std::vector<int> answer = decode(session, logits, ids);
    if (dump.wanted()) write(dump, session, images, ids, all, answer);
    if (!options_.quiet) timing_.print();
  }

  /// Questions from the terminal about the same images, until an empty line or the end of the input.
  void dialogue() {
    const std::vector<io::Pixels> images = read_images();
    Session<Model, OpsT> session(model_, ops_, {.images = static_cast<int>(images.size()), .tokens = model_.language.config.max_positions},
                                 options_.runtime.threads);
    watch_.lap();
    encode(session, images);
    std::vector<io::Turn> turns;
    std::vector<int> seen;
    for (std::string question; std::printf("> "), std::fflush(stdout), std::getline(std::cin, question) && !question.empty();) {
      turns.push_back({"user", turns.empty() ? folder_.with_images(question, images.size()) : question});
      const std::vector<int> ids = folder_.prompt_ids(folder_.format(turns), images.size(), rows_per_image_);
      const std::size_t known = static_cast<std::size_t>(std::mismatch(seen.begin(), seen.end(), ids.begin(), ids.end()).first - seen.begin());
      session.rewind(static_cast<int>(known), model_.splice.count(std::span(ids).first(known)));
      watch_.lap();
      const auto logits = prefill(session, std::span(ids).subspan(known), {});
      const std::vector<int> reply = decode(session, logits, ids);
      turns.push_back({"assistant", folder_.tokenizer.decode(reply)});
      seen = ids;
      if (!options_.quiet) timing_.print();
    }
  }

 private:
  Model load() {
    ProgressBar bar("load", !options_.quiet);
    return hub::load_llava<Model>(options_.model, folder_.config, options_.runtime.formats(folder_.config.stored), ops_, store_,
                                  [&](std::uint64_t done, std::uint64_t total) { bar.update(done, total); });
  }

  /// Room for the prompt and the answer, but no more than the model has positions.
  Limits limits(int images, int prompt_tokens) const {
    const int positions = std::max(model_.language.config.max_positions, 1);
    if (prompt_tokens >= positions) {
      fail("the prompt of ", prompt_tokens, " tokens (image rows included) does not fit the model's ", positions, " positions");
    }
    return {.images = images, .tokens = prompt_tokens + std::min(options_.max_new, positions - prompt_tokens)};
  }

  std::vector<io::Pixels> read_images() const {
    std::vector<io::Pixels> images;
    for (const std::string& file : options_.images) images.push_back(folder_.pixels(file));
    return images;
  }

  void encode(Session<Model, OpsT>& session, const std::vector<io::Pixels>& images) {
    ProgressBar bar("vision", !options_.quiet && images.size() > 1);
    for (std::size_t i = 0; i < images.size(); ++i) {
      session.encode(images[i].values);
      bar.update(i + 1, images.size());
    }
    timing_.vision = watch_.lap();
    timing_.image_count = static_cast<int>(images.size());
  }

  std::span<const float> prefill(Session<Model, OpsT>& session, std::span<const int> ids, Mat<float> all_logits) {
    ProgressBar bar("prefill", !options_.quiet);
    const auto logits = session.prefill(
        ids, [&](int done, int total) { bar.update(static_cast<std::uint64_t>(done), static_cast<std::uint64_t>(total)); }, all_logits);
    timing_.prefill = watch_.lap();
    timing_.prompt_tokens = static_cast<int>(ids.size());
    return logits;
  }

  std::vector<int> decode(Session<Model, OpsT>& session, std::span<const float> logits, std::span<const int> ids) {
    GenerateOptions how{.max_new = std::min(options_.max_new, session.limits().tokens - session.size()),
                        .end_ids = folder_.generation.eos,
                        .sampler = sampler()};
    if (const int beams = options_.beams.value_or(folder_.generation.beams); beams > 1) return decode_beams(session, logits, beams, how.max_new);
    io::TokenStream stream(folder_.tokenizer);
    bool leading = true;  // a blank before the first word belongs to the prompt's last colon
    const auto print = [&](std::string text) {
      if (leading) text.erase(0, text.find_first_not_of(' '));
      leading &= text.empty();
      std::fwrite(text.data(), 1, text.size(), stdout);
      std::fflush(stdout);
    };
    const std::vector<int> answer = generate(session, logits, ids, how, [&](int id) {
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
  std::vector<int> decode_beams(Session<Model, OpsT>& session, std::span<const float> logits, int beams, int max_new) {
    const BeamOptions how{.beams = beams,
                          .max_new = max_new,
                          .length_penalty = options_.length_penalty.value_or(folder_.generation.length_penalty),
                          .end_ids = folder_.generation.eos};
    const std::vector<int> answer = beam_search(session, logits, how);
    std::string text = folder_.tokenizer.decode(answer);
    text.erase(0, text.find_first_not_of(' '));
    std::printf("%s\n", text.c_str());
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

  void write(const Dump& dump, const Session<Model, OpsT>& session, const std::vector<io::Pixels>& images, std::span<const int> ids,
             Mat<const float> logits, std::span<const int> answer) const {
    if (!images.empty()) {
      dump.pixels(images);
      dump.rows("vision_hidden", session.vision_hidden(), static_cast<int>(images.size()));
      dump.rows("image_features", session.image_features(), 1);
    }
    dump.rows("logits", logits, 1);
    dump.ids("input_ids", ids);
    dump.ids("generated_ids", answer);
  }

  const AskOptions& options_;
  const hub::LlavaFolder& folder_;
  Stopwatch watch_;
  Timing timing_;
  OpsT ops_;
  WeightStore store_;
  Model model_;
  int rows_per_image_;
};

/// The prompt that the options ask for.
inline std::string prompt_text(const AskOptions& options, const hub::LlavaFolder& folder) {
  if (options.raw_prompt) return *options.prompt;
  if (options.prompt) return folder.format(std::vector{io::Turn{"user", folder.with_images(*options.prompt, options.images.size())}});
  const io::MappedFile file(options.messages);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  return folder.format(io::parse_messages(text, options.messages));
}

template <class OpsT>
void ask_with(const AskOptions& options) {
  hub::LlavaFolder folder = hub::LlavaFolder::open(options.model, options.vision_tower);
  if (!options.conversation.empty()) folder.conversation = io::conversation_template(options.conversation);
  with_llava_type(folder.config, [&]<class Model>() {
    Asker<Model, OpsT> asker(options, folder);
    options.prompt || !options.messages.empty() ? asker.answer(prompt_text(options, folder)) : asker.dialogue();
  });
}

}  // namespace tessera::cli

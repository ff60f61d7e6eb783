// tessera ask: its options.

#include "cli/ask.hpp"

#include <memory>

#include <unistd.h>

#include "cli/commands.hpp"

namespace tessera::cli {
namespace {

void run(const AskOptions& options) {
  if (!options.prompt && options.messages.empty() && isatty(STDIN_FILENO) == 0) {
    throw CLI::RequiredError("--prompt or --messages");
  }
  options.runtime.apply();
  if (options.runtime.backend == "reference") return ask_reference(options);
  if (options.runtime.backend == "onednn") return ask_onednn(options);
  if (options.runtime.backend == "eigen") return ask_eigen(options);
  ask_native(options);
}

}  // namespace

void add_ask(CLI::App& app) {
  CLI::App* command = app.add_subcommand("ask", "Answer questions about images");
  const auto o = std::make_shared<AskOptions>();
  command->add_option("--model", o->model, "Model folder")->required();
  command->add_option("--vision-tower", o->vision_tower, "Folder of the vision tower, where a checkpoint keeps it elsewhere");
  command->add_option("--image", o->images, "Image file, JPEG or PNG; may be repeated");
  CLI::Option* prompt = command->add_option("--prompt", o->prompt, "The question; without it, a dialogue");
  command->add_flag("--raw-prompt", o->raw_prompt, "Take the prompt as it is, with <image> where the images go")->needs(prompt);
  command->add_option("--messages", o->messages, "A list of messages in a JSON file, as Hugging Face writes them")->excludes(prompt);
  command->add_option("--template", o->conversation, "Conversation template (hf, v1, llava_v1, llava_v0, llava_llama_2 ...; default: the family's)");
  command->add_option("--max-new", o->max_new, "New tokens at most")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  command->add_option("--temperature", o->temperature, "0 takes the most likely token")->check(CLI::NonNegativeNumber);
  command->add_option("--top-k", o->top_k, "Draw from the K most likely tokens; 0 for all")->check(CLI::NonNegativeNumber);
  command->add_option("--top-p", o->top_p, "Draw from the fewest tokens that together have this probability")->check(CLI::Range(1e-9, 1.0));
  command->add_option("--min-p", o->min_p, "Draw from tokens at least this likely relative to the best")->check(CLI::Range(0.0, 1.0));
  command->add_option("--repetition-penalty", o->repetition_penalty, "Divides the scores of tokens seen before")->check(CLI::PositiveNumber);
  command->add_option("--seed", o->seed, "Of the draws")->capture_default_str();
  command->add_option("--dump", o->dump, "Folder that gets every intermediate result as .npy");
  command->add_flag("--quiet", o->quiet, "Print the answer only");
  command->add_option("--num-beams", o->beams, "Beams of a beam search; 1 for none")->check(CLI::Range(1, 64));
  command->add_option("--length-penalty", o->length_penalty, "Exponent of the length that a beam's score is divided by");
  o->runtime.add_to(*command);
  command->callback([o] { run(*o); });
}

}  // namespace tessera::cli

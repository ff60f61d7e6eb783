#pragma once
/// Conversations with LLaVA models: from turns to the prompt a model was trained on, and to its ids.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/json.hpp"
#include "tessera/io/tokenizer.hpp"

namespace tessera::io {

/// Where an image goes in a prompt.
inline constexpr std::string_view image_placeholder = "<image>";

/// One message. `role` is "system", "user" or "assistant"; images stand in the text as `<image>`.
struct Turn {
  std::string role, text;
  bool operator==(const Turn&) const = default;
};

/// The prompt formats of LLaVA. The formatter is chosen by model family: a `chat_template` in the model's folder is a
/// Jinja program and is not interpreted.
enum class ConversationTemplate {
  vicuna_v0,       ///< "v0", "default": `Human: …###Assistant: …###` after a fixed example
  vicuna_v1,       ///< "v1", "vicuna_v1": `USER: … ASSISTANT: …</s>`, LLaVA-1.5
  llama_2,         ///< `[INST] … [/INST]` with LLaMA-2's own system text
  llava_v0,        ///< `Human: …###Assistant: …###`
  llava_v0_mmtag,  ///< the same, images as `<Image><image></Image>`
  llava_v1,        ///< vicuna_v1 with "human" for "user" in the system text
  llava_v1_mmtag,  ///< the same, images as `<Image><image></Image>`
  llava_llama_2,   ///< `[INST] … [/INST]` with LLaVA's system text
  plain,           ///< image and caption, stage 1 training
  hugging_face     ///< chat template of llava-1.5-*-hf: `USER: <image>\n… ASSISTANT:` without a system text
};

/// The template that LLaVA's `conv_templates` (llava/conversation.py) has under a name, or "hf". Throws for other
/// names.
ConversationTemplate conversation_template(std::string_view name);

/// The system text of a template, as published.
std::string_view system_text(ConversationTemplate kind);

/// The prompt of a conversation: users and assistants in turn, a user first. A system turn in front takes the place of
/// the template's system text. `open_answer`: the last turn is a user's, and the prompt ends where the answer begins.
/// Texts are taken as they are, `<image>` included; just `plain` drops a question that is answered, but for its image.
std::string format_conversation(ConversationTemplate kind, std::span<const Turn> turns, bool open_answer);

/// Reads a Hugging Face style message list, `[{"role": …, "content": …}]`. Content is a string or a list of
/// `{"type": "image"}` and `{"type": "text", "text": …}`. As LLaVA's chat template does, images go first, each as
/// `<image>` and a line end, then the texts with a blank between. Throws an Error that starts with `where`.
std::vector<Turn> parse_messages(std::string_view text, std::string_view where);

/// Ids of a prompt as the original LLaVA code makes them (`tokenizer_image_token` in llava/mm_utils.py): each stretch
/// between `<image>`s is tokenized by itself, the begin token of the first is kept, and `image_id` stands between.
std::vector<int> tokenize_with_image_sentinels(const Tokenizer& tokenizer, std::string_view prompt,
                                               int image_id = -200);

/// Ids of a prompt as Hugging Face's LlavaProcessor makes them: the whole prompt is tokenized with `<image>` as a
/// token, and the k-th of these is repeated `rows_per_image[k]` times, one for each row that the image takes.
std::vector<int> tokenize_with_image_rows(const Tokenizer& tokenizer, std::string_view prompt,
                                          std::span<const int> rows_per_image);

namespace detail {

enum class ConversationStyle {
  single,        ///< system and each `role: text`, all followed by ###
  two,           ///< system, blank, then `USER: text ` and `ASSISTANT: text</s>`
  hugging_face,  ///< the same without a system text and with a blank behind answers too
  llama_2,
  plain
};

struct ConversationFormat {
  std::string_view system = {};
  std::string_view user = "USER", assistant = "ASSISTANT";
  ConversationStyle style = ConversationStyle::two;
};

// clang-format off: it would break lines in the middle of a phrase.
inline constexpr std::string_view human_system =
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the human's questions.";
inline constexpr std::string_view user_system =
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions.";
// The two sentences are joined without a blank in the original too.
inline constexpr std::string_view image_tag_system =
    "A chat between a curious user and an artificial intelligence assistant. The assistant is able to understand the "
    "visual content that the user provides, and assist the user with a variety of tasks using natural language.The "
    "visual content will be provided with the following format: <Image>visual content</Image>.";
inline constexpr std::string_view llava_llama_2_system =
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language.";
inline constexpr std::string_view llama_2_system =
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being safe.  "
    "Your answers should not include any harmful, unethical, racist, sexist, toxic, dangerous, or illegal content. "
    "Please ensure that your responses are socially unbiased and positive in nature.\n\n"
    "If a question does not make any sense, or is not factually coherent, explain why instead of answering something "
    "not correct. If you don't know the answer to a question, please don't share false information.";

/// The example that Vicuna v0 was always shown first.
inline constexpr std::string_view vicuna_v0_question =
    "What are the key differences between renewable and non-renewable energy sources?";
inline constexpr std::string_view vicuna_v0_answer =
    "Renewable energy sources are those that can be replenished naturally in a relatively short amount of time, such "
    "as solar, wind, hydro, geothermal, and biomass. Non-renewable energy sources, on the other hand, are finite and "
    "will eventually be depleted, such as coal, oil, and natural gas. Here are some key differences between renewable "
    "and non-renewable energy sources:\n"
    "1. Availability: Renewable energy sources are virtually inexhaustible, while non-renewable energy sources are "
    "finite and will eventually run out.\n"
    "2. Environmental impact: Renewable energy sources have a much lower environmental impact than non-renewable "
    "sources, which can lead to air and water pollution, greenhouse gas emissions, and other negative effects.\n"
    "3. Cost: Renewable energy sources can be more expensive to initially set up, but they typically have lower "
    "operational costs than non-renewable sources.\n"
    "4. Reliability: Renewable energy sources are often more reliable and can be used in more remote locations than "
    "non-renewable sources.\n"
    "5. Flexibility: Renewable energy sources are often more flexible and can be adapted to different situations and "
    "needs, while non-renewable sources are more rigid and inflexible.\n"
    "6. Sustainability: Renewable energy sources are more sustainable over the long term, while non-renewable sources "
    "are not, and their depletion can lead to economic and social instability.\n";
// clang-format on

inline ConversationFormat conversation_format(ConversationTemplate kind) {
  using enum ConversationTemplate;
  switch (kind) {
    case vicuna_v0:
    case llava_v0:
      return {human_system, "Human", "Assistant", ConversationStyle::single};
    case llava_v0_mmtag:
      return {image_tag_system, "Human", "Assistant", ConversationStyle::single};
    case vicuna_v1:
      return {.system = user_system};
    case llava_v1:
      return {.system = human_system};
    case llava_v1_mmtag:
      return {.system = image_tag_system};
    case llama_2:
      return {llama_2_system, "", "", ConversationStyle::llama_2};
    case llava_llama_2:
      return {llava_llama_2_system, "", "", ConversationStyle::llama_2};
    case plain:
      return {"", "", "", ConversationStyle::plain};
    case hugging_face:
      return {.system = "", .style = ConversationStyle::hugging_face};
  }
  fail("conversation template ", static_cast<int>(kind), " does not exist");
}

inline bool has_image_tags(ConversationTemplate kind) {
  return kind == ConversationTemplate::llava_v0_mmtag || kind == ConversationTemplate::llava_v1_mmtag;
}

// Messages must come from users and assistants in turn.
inline void check_turns(std::span<const Turn> turns, bool open_answer) {
  if (turns.empty()) fail("conversation: no message, expected one of a user");
  for (std::size_t i = 0; i < turns.size(); ++i) {
    const std::string_view expected = i % 2 == 0 ? "user" : "assistant";
    if (turns[i].role != expected)
      fail("conversation: message ", i + 1, " has the role ", in_quotes(turns[i].role), ", expected ", expected);
  }
  if (open_answer && turns.back().role != "user")
    fail("conversation: the last message is of role ", in_quotes(turns.back().role), ", expected user to be answered");
}

// A message of images alone has no text that a blank could follow.
inline std::string_view blank_behind(std::string_view text) {
  return text.ends_with(std::string(image_placeholder) + "\n") ? "" : " ";
}

inline std::string format_llama_2(const std::string& system, std::span<const Turn> turns) {
  std::string prompt;
  for (const Turn& turn : turns) {
    if (turn.text.empty()) continue;
    if (turn.role == "assistant") {
      prompt += " " + turn.text + " </s>";
    } else {
      const bool shows_system = &turn == &turns.front() && !system.empty();
      prompt += "<s>[INST] " + (shows_system ? "<<SYS>>\n" + system + "\n<</SYS>>\n\n" : "") + turn.text + " [/INST]";
    }
  }
  // The tokenizer puts the first begin token.
  return prompt.starts_with("<s>") ? prompt.substr(3) : prompt;
}

// An open question as in Conversation::get_prompt, answered ones as preprocess_plain of llava/train/train.py has them.
inline std::string format_plain(const std::string& system, std::span<const Turn> turns) {
  std::string prompt = system;
  for (std::size_t i = 0; i < turns.size(); i += 2) {
    if (i + 1 == turns.size()) {
      prompt += turns[i].text + "\n";
    } else {
      if (turns[i].text.find(image_placeholder) == std::string::npos)
        fail("conversation: message ", i + 1, " has no ", image_placeholder, ", expected by the template plain");
      prompt += std::string(image_placeholder) + turns[i + 1].text + "\n";
    }
  }
  return prompt;
}

inline std::string text_of_parts(const json& parts, const std::string& where) {
  if (!parts.is_array()) fail(where, ": content is neither a string nor a list");
  std::string images, texts;
  for (const json& part : parts) {
    const auto type = require<std::string>(part, "type", where + ": content");
    if (type == "image") {
      images.append(image_placeholder).append("\n");
    } else if (type == "text") {
      texts += (texts.empty() ? "" : " ") + require<std::string>(part, "text", where + ": content");
    } else {
      fail(where, ": content has a part of type ", in_quotes(type), ", expected image or text");
    }
  }
  return images + texts;
}

}  // namespace detail

inline ConversationTemplate conversation_template(std::string_view name) {
  using enum ConversationTemplate;
  constexpr std::pair<std::string_view, ConversationTemplate> names[] = {{"default", vicuna_v0},
                                                                         {"v0", vicuna_v0},
                                                                         {"v1", vicuna_v1},
                                                                         {"vicuna_v1", vicuna_v1},
                                                                         {"llama_2", llama_2},
                                                                         {"plain", plain},
                                                                         {"v0_plain", plain},
                                                                         {"llava_v0", llava_v0},
                                                                         {"v0_mmtag", llava_v0_mmtag},
                                                                         {"llava_v1", llava_v1},
                                                                         {"v1_mmtag", llava_v1_mmtag},
                                                                         {"llava_llama_2", llava_llama_2},
                                                                         {"hf", hugging_face}};
  std::string known;
  for (const auto& [its_name, kind] : names) {
    if (its_name == name) return kind;
    known += (known.empty() ? "" : ", ") + std::string(its_name);
  }
  fail("conversation template ", in_quotes(name), " is not known, expected one of ", known);
}

inline std::string_view system_text(ConversationTemplate kind) { return detail::conversation_format(kind).system; }

inline std::string format_conversation(ConversationTemplate kind, std::span<const Turn> turns, bool open_answer) {
  using detail::ConversationStyle;
  const auto format = detail::conversation_format(kind);
  const bool own_system = !turns.empty() && turns.front().role == "system";
  const std::string system(own_system ? std::string_view(turns.front().text) : format.system);
  if (own_system) turns = turns.subspan(1);
  detail::check_turns(turns, open_answer);

  std::vector<Turn> messages(turns.begin(), turns.end());
  if (kind == ConversationTemplate::vicuna_v0)
    messages.insert(messages.begin(), {{"user", std::string(detail::vicuna_v0_question)},
                                       {"assistant", std::string(detail::vicuna_v0_answer)}});

  std::string prompt;
  // As in the original, a message without text is written like one that is still to come.
  const auto append = [&](const Turn& turn, std::string_view after) {
    prompt += std::string(turn.role == "user" ? format.user : format.assistant) + ":";
    if (!turn.text.empty()) prompt.append(" ").append(turn.text).append(after);
  };
  switch (format.style) {
    case ConversationStyle::single:
      prompt = system + "###";
      for (const Turn& turn : messages) append(turn, "###");
      break;
    case ConversationStyle::two:
      prompt = system + " ";
      for (const Turn& turn : messages) append(turn, turn.role == "user" ? " " : "</s>");
      break;
    case ConversationStyle::hugging_face:
      if (own_system) prompt = system + " ";
      for (const Turn& turn : messages) append(turn, detail::blank_behind(turn.text));
      break;
    case ConversationStyle::llama_2:
      return detail::format_llama_2(system, messages);
    case ConversationStyle::plain:
      return detail::format_plain(system, messages);
  }
  if (open_answer) append({"assistant", ""}, "");
  return prompt;
}

inline std::vector<Turn> parse_messages(std::string_view text, std::string_view where) {
  const json messages = parse_json(text, where);
  if (!messages.is_array()) fail(where, ": expected a list of messages");
  std::vector<Turn> turns;
  for (const json& message : messages) {
    const std::string place = std::string(where) + ": message " + std::to_string(turns.size() + 1);
    Turn turn{require<std::string>(message, "role", place), ""};
    if (turn.role != "system" && turn.role != "user" && turn.role != "assistant")
      fail(place, ": role is ", in_quotes(turn.role), ", expected system, user or assistant");
    if (turn.role == "system" && !turns.empty()) fail(place, ": role is system, expected only in the first message");
    const auto content = message.find("content");
    if (content == message.end()) fail(place, ": content is missing");
    turn.text = content->is_string() ? content->get<std::string>() : detail::text_of_parts(*content, place);
    turns.push_back(std::move(turn));
  }
  return turns;
}

inline std::vector<int> tokenize_with_image_sentinels(const Tokenizer& tokenizer, std::string_view prompt,
                                                      int image_id) {
  std::vector<int> ids;
  bool begin_token = false;  // in front of every stretch, wanted once
  for (bool first = true;; first = false) {
    const std::size_t image = prompt.find(image_placeholder);
    const std::vector<int> stretch = tokenizer.encode(prompt.substr(0, image));
    if (first) begin_token = !stretch.empty() && stretch.front() == tokenizer.bos_id();
    if (!first) ids.push_back(image_id);
    ids.insert(ids.end(), stretch.begin() + (begin_token && !first ? 1 : 0), stretch.end());
    if (image == prompt.npos) return ids;
    prompt.remove_prefix(image + image_placeholder.size());
  }
}

inline std::vector<int> tokenize_with_image_rows(const Tokenizer& tokenizer, std::string_view prompt,
                                                 std::span<const int> rows_per_image) {
  const auto image_id = tokenizer.id_of(image_placeholder);
  if (!image_id && !rows_per_image.empty()) fail("the tokenizer has no token ", image_placeholder);
  std::vector<int> ids;
  std::size_t images = 0;
  for (const int id : tokenizer.encode(prompt)) {
    const bool is_image = id == image_id;
    if (is_image && images == rows_per_image.size())
      fail("the prompt has more ", image_placeholder, " than there are images, expected ", rows_per_image.size());
    if (is_image && rows_per_image[images] < 1)
      fail("image ", images + 1, " has ", rows_per_image[images], " rows, expected at least 1");
    ids.insert(ids.end(), is_image ? static_cast<std::size_t>(rows_per_image[images++]) : 1, id);
  }
  if (images != rows_per_image.size())
    fail("the prompt has ", images, " ", image_placeholder, ", expected one for each of ", rows_per_image.size(),
         " images");
  return ids;
}

}  // namespace tessera::io

#pragma once
/// What LLaVA trains on in a conversation: the ids, and which of them count in the loss.

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/core/labels.hpp"
#include "tessera/io/conversation.hpp"
#include "tessera/io/tokenizer.hpp"
#include "tessera/io/tokenizer/unicode.hpp"

namespace tessera::io {

/// A training sample: for each id itself as label where it is trained, else ignored_label. Labels are not shifted: the
/// row before predicts them.
struct LabelledIds {
  std::vector<int> ids, labels;
  bool operator==(const LabelledIds&) const = default;
};

/// Samples one after the other, as train::Batch takes them.
struct JoinedSamples {
  std::vector<int> ids, labels, ends;  ///< ends: where each sample ends in ids

  void add(const LabelledIds& sample) {
    ids.insert(ids.end(), sample.ids.begin(), sample.ids.end());
    labels.insert(labels.end(), sample.labels.begin(), sample.labels.end());
    ends.push_back(static_cast<int>(ids.size()));
  }
  void clear() { ids.clear(), labels.clear(), ends.clear(); }
};

/// How conversations become training samples.
struct TrainingFormat {
  /// A template of the styles plain, two or llama_2, or `hugging_face`: as vicuna_v1 without a system text.
  ConversationTemplate conversation = ConversationTemplate::vicuna_v1;
  int image_token = -200;    ///< stands in the ids once for each row of the image
  int rows_per_image = 576;  ///< rows that the language model gets for the image
  int max_length = 2048;     ///< of the ids, image rows included
  bool truncate = false;     ///< cuts longer conversations at max_length, as LLaVA does; else they are refused
};

/// Ids and labels as `preprocess_multimodal`, `preprocess_plain`, `preprocess_v1` and `preprocess_llama_2` of
/// llava/train/train.py make them, with the image's rows in place. Trained are the answers with the end token behind
/// each; with `plain` the caption and a line end, the question is dropped.
///
/// `turns` are a user's and an assistant's in turn; an assistant's first turn is left out. With an image `<image>` goes
/// to the front of the message that has it.
///
/// Throws an Error for a conversation that cannot be trained: too long, without an answer, an `<image>` too many or too
/// few, and where the original silently masks everything: an empty message, text that looks like the template's own or
/// has an unknown token.
LabelledIds label_conversation(const Tokenizer& tokenizer, std::span<const Turn> turns, bool has_image,
                               const TrainingFormat& format);

namespace detail {

/// What Python's `str.isspace` says.
inline bool is_python_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/// Python's `str.strip` of valid UTF-8.
inline std::string python_stripped(std::string_view text) {
  while (!text.empty() && is_python_space(utf8_at(text, 0))) text.remove_prefix(utf8_length(text, 0));
  while (!text.empty()) {
    const std::size_t last = utf8_start_before(text, text.size());
    if (!is_python_space(utf8_at(text, last))) break;
    text = text.substr(0, last);
  }
  return std::string(text);
}

/// How often `part` stands in `text`, overlaps included.
inline int count_of(std::string_view part, std::string_view text) {
  int count = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

inline std::string image_at_front(ConversationTemplate kind, const std::string& text) {
  const std::string rest = python_stripped(Replacement(std::string(image_placeholder), "").apply(text));
  const std::string image(has_image_tags(kind) ? "<Image><image></Image>" : image_placeholder);
  return rest.empty() ? image : image + "\n" + rest;
}

/// The turns that are trained, checked, with the image in front.
inline std::vector<Turn> training_turns(std::span<const Turn> turns, bool has_image, ConversationTemplate kind) {
  std::vector<Turn> result(turns.begin(), turns.end());
  if (!result.empty() && result.front().role == "assistant") result.erase(result.begin());
  check_turns(result, false);
  if (result.size() % 2 != 0) fail("conversation: ends with a question, expected an answer to it");
  int images = 0;
  for (std::size_t i = 0; i < result.size(); ++i) {
    std::string& text = result[i].text;
    if (text.empty()) fail("conversation: message ", i + 1, " is empty");
    if (has_image && text.find(image_placeholder) != text.npos) text = image_at_front(kind, text);
    images += count_of(image_placeholder, text);
  }
  if (images != (has_image ? 1 : 0))
    fail("conversation: ", images, " ", image_placeholder, " found, expected ",
         has_image ? "one for the image" : "none without an image");
  return result;
}

/// A question with all that the template puts around it, up to where the answer begins; and the answer with its end.
struct Round {
  std::string opening, answer;
};

inline std::vector<Round> training_rounds(std::span<const Turn> turns, const ConversationFormat& format) {
  std::vector<Round> rounds;
  for (std::size_t i = 0; i < turns.size(); i += 2) {
    const std::string &question = turns[i].text, &answer = turns[i + 1].text;
    const std::string system(i == 0 ? format.system : "");
    if (format.style == ConversationStyle::llama_2) {
      rounds.push_back({(i == 0 ? "" : "<s>") + format_llama_2(system, turns.subspan(i, 1)), " " + answer + " </s>"});
    } else {
      rounds.push_back({(system.empty() ? "" : system + " ") + std::string(format.user) + ": " + question + " " +
                            std::string(format.assistant) + ":",
                        " " + answer + "</s>"});
    }
  }
  return rounds;
}

inline LabelledIds label_plain(const Tokenizer& tokenizer, std::span<const Turn> turns, int image_token) {
  if (turns.size() != 2 || turns[0].text.find(image_placeholder) == std::string::npos)
    fail("conversation: the template plain needs one question with an image and its caption");
  const std::string prompt = std::string(image_placeholder) + turns[1].text + "\n";
  LabelledIds result{tokenize_with_image_sentinels(tokenizer, prompt, image_token), {}};
  const auto image = std::find(result.ids.begin(), result.ids.end(), image_token);
  result.labels.assign(static_cast<std::size_t>(image - result.ids.begin()), ignored_label);
  result.labels.insert(result.labels.end(), image, result.ids.end());
  return result;
}

// The original counts ids of pieces that it tokenizes by themselves and corrects for what that adds. Here the end
// tokens show where rounds end, and the opening of a round is tokenized as it stands: after an end token or nothing.
inline LabelledIds label_rounds(const Tokenizer& tokenizer, const std::vector<Round>& rounds, int image_token) {
  const auto end_token = tokenizer.id_of("</s>");
  if (!end_token) fail("the tokenizer has no token </s>");
  std::string prompt;
  for (const Round& round : rounds) prompt += round.opening + round.answer;
  LabelledIds result{tokenize_with_image_sentinels(tokenizer, prompt, image_token), {}};
  const std::vector<int>& ids = result.ids;
  if (std::ranges::count(ids, *end_token) != static_cast<std::ptrdiff_t>(rounds.size()))
    fail("conversation: the text has </s>, which ends an answer");

  result.labels.assign(ids.size(), ignored_label);
  auto begin = ids.begin();
  for (const Round& round : rounds) {
    const auto end = std::find(begin, ids.end(), *end_token) + 1;
    const bool first = begin == ids.begin();
    auto opening = tokenize_with_image_sentinels(tokenizer, (first ? "" : "</s>") + round.opening, image_token);
    if (!first) opening.erase(opening.begin(), std::ranges::find(opening, *end_token) + 1);
    const auto [differs, answer] = std::mismatch(opening.begin(), opening.end(), begin, end);
    if (differs != opening.end()) fail("conversation: the tokenizer joins the end of a question with its answer");
    std::copy(answer, end, result.labels.begin() + (answer - ids.begin()));
    begin = end;
  }
  return result;
}

/// Repeats the image token for each row, none of which is trained.
inline LabelledIds with_image_rows(const LabelledIds& sample, const TrainingFormat& format) {
  LabelledIds result;
  for (std::size_t i = 0; i < sample.ids.size(); ++i) {
    const bool is_image = sample.ids[i] == format.image_token;
    const auto rows = static_cast<std::size_t>(is_image ? format.rows_per_image : 1);
    result.ids.insert(result.ids.end(), rows, sample.ids[i]);
    result.labels.insert(result.labels.end(), rows, is_image ? ignored_label : sample.labels[i]);
  }
  return result;
}

inline void fit_length(LabelledIds& sample, const TrainingFormat& format) {
  const auto limit = static_cast<std::size_t>(format.max_length);
  if (sample.ids.size() <= limit) return;
  if (!format.truncate) fail("conversation: ", sample.ids.size(), " ids, expected at most ", limit);
  if (std::find(sample.ids.begin() + format.max_length, sample.ids.end(), format.image_token) != sample.ids.end())
    fail("conversation: its image does not fit into ", limit, " ids");
  sample.ids.resize(limit);
  sample.labels.resize(limit);
  if (std::ranges::count(sample.labels, ignored_label) == format.max_length)
    fail("conversation: no answer begins within ", limit, " ids");
}

}  // namespace detail

inline LabelledIds label_conversation(const Tokenizer& tokenizer, std::span<const Turn> turns, bool has_image,
                                      const TrainingFormat& format) {
  using detail::ConversationStyle;
  const detail::ConversationFormat text_format = detail::conversation_format(format.conversation);
  if (text_format.style == ConversationStyle::single)
    fail("the conversation template v0 is not supported in training, expected plain, v1 or llava_llama_2");
  const std::vector<Turn> messages = detail::training_turns(turns, has_image, format.conversation);

  LabelledIds sample;
  if (text_format.style == ConversationStyle::plain) {
    sample = detail::label_plain(tokenizer, messages, format.image_token);
  } else {
    const std::vector<detail::Round> rounds = detail::training_rounds(messages, text_format);
    const std::string_view mark = text_format.style == ConversationStyle::llama_2 ? "[/INST] " : " ASSISTANT: ";
    for (const detail::Round& round : rounds) {
      if (detail::count_of(mark, round.opening + round.answer) != 1)
        fail("conversation: the text has ", in_quotes(mark), ", which the template puts before an answer");
    }
    sample = detail::label_rounds(tokenizer, rounds, format.image_token);
  }
  if (const auto unknown = tokenizer.unk_id(); unknown && std::ranges::count(sample.ids, *unknown) != 0)
    fail("conversation: the text has what the tokenizer has no token for");
  sample = detail::with_image_rows(sample, format);
  detail::fit_length(sample, format);
  return sample;
}

}  // namespace tessera::io

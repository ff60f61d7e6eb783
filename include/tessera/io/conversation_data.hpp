#pragma once
/// Training data in LLaVA's conversation format, checked as a whole before training starts.

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/conversation.hpp"
#include "tessera/io/conversation_labels.hpp"
#include "tessera/io/json.hpp"
#include "tessera/io/mapped_file.hpp"
#include "tessera/io/tokenizer.hpp"

namespace tessera::io {

/// One entry of a data file.
struct ConversationSample {
  std::string id;                              ///< may be empty
  std::optional<std::filesystem::path> image;  ///< in the folder of the images; nothing for text alone
  std::vector<Turn> turns;
  int words = 0;  ///< in all turns

  /// What LLaVA's trainer groups samples by: the words, negative without an image.
  int modality_length() const { return image ? words : -words; }
};

/// The samples of a file that is a JSON array, or JSON Lines, of
/// `{"id": …, "image": "file", "conversations": [{"from": "human" or "gpt", "value": …}]}`; id and image may be
/// missing, other fields are ignored.
class ConversationData {
 public:
  /// What is done with entries that cannot be trained.
  enum class Broken { refuse, skip };

  /// Reads the file and makes ids and labels of every sample once. Throws one Error that lists all entries that cannot
  /// be trained, with their lines: broken JSON or fields, a missing image file, and what label_conversation refuses.
  /// With Broken::skip they are left out, and the Error comes only if no sample is left. The texts stay in memory, the
  /// ids do not.
  ConversationData(const std::filesystem::path& file, const std::filesystem::path& images, Tokenizer tokenizer,
                   TrainingFormat format, Broken broken = Broken::refuse)
      : ConversationData(MappedFile(file).text(), file.string(), images, std::move(tokenizer), format, broken) {}
  /// The same from the text of such a file; `where` names it in errors.
  ConversationData(std::string_view text, const std::string& where, const std::filesystem::path& images,
                   Tokenizer tokenizer, TrainingFormat format, Broken broken = Broken::refuse);

  int size() const { return static_cast<int>(samples_.size()); }
  const ConversationSample& sample(int index) const { return samples_[static_cast<std::size_t>(index)]; }

  /// Ids and labels of a sample. Safe to call from several threads.
  LabelledIds labelled_ids(int index) const {
    const ConversationSample& one = sample(index);
    return label_conversation(tokenizer_, one.turns, one.image.has_value(), format_);
  }

  /// Path of a sample's image, nothing for text alone.
  std::optional<std::filesystem::path> image_path(int index) const {
    const auto& image = sample(index).image;
    return image ? std::optional(images_ / *image) : std::nullopt;
  }

  /// modality_length of all samples.
  std::vector<int> modality_lengths() const {
    std::vector<int> lengths;
    for (const ConversationSample& one : samples_) lengths.push_back(one.modality_length());
    return lengths;
  }

  /// The entries that were left out, each as a line: where it is and what is wrong.
  const std::vector<std::string>& skipped() const { return skipped_; }

 private:
  std::filesystem::path images_;
  Tokenizer tokenizer_;
  TrainingFormat format_;
  std::vector<ConversationSample> samples_;
  std::vector<std::string> skipped_;
};

namespace detail {

/// The text of an entry and the line where it starts.
struct JsonEntry {
  std::string_view text;
  int line;
};

/// Where the element of an array that starts at `at` ends: at a comma or the array's bracket. In broken JSON a string
/// ends with its line, and a bracket closes those inside it: mostly the next elements are found all the same.
inline std::size_t end_of_element(std::string_view text, std::size_t at) {
  std::string open;  // brackets
  bool in_string = false;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string) {
      if (c == '\\') ++at;
      in_string = c != '"' && c != '\n';
    } else if (c == '"') {
      in_string = true;
    } else if (c == ',' && open.empty()) {
      return at;
    } else if (c == '[' || c == '{') {
      open += c;
    } else if (c == ']' || c == '}') {
      const std::size_t opener = open.rfind(c == ']' ? '[' : '{');
      if (opener == open.npos && c == ']') return at;
      if (opener != open.npos) open.resize(opener);
    }
  }
  return text.size();
}

/// Cuts an array or JSON Lines into entries without reading them, so that one broken entry does not hide the others, a
/// large file needs little memory, and lines are known.
class JsonEntries {
 public:
  explicit JsonEntries(std::string_view text) : text_(text) {
    skip_blanks();
    is_array_ = at_ < text_.size() && text_[at_] == '[';
    if (!is_array_) return;
    ++at_;
    skip_blanks();
    if (at_ < text_.size() && text_[at_] == ']') close();
  }

  /// The next entry; nothing at the end.
  std::optional<JsonEntry> next() {
    skip_blanks();
    if (closed_ || (!is_array_ && at_ == text_.size())) return std::nullopt;
    const int line = line_;
    const std::size_t end = is_array_ ? end_of_element(text_, at_) : std::min(text_.find('\n', at_), text_.size());
    const std::string_view entry = take(end - at_);
    if (is_array_ && at_ < text_.size() && text_[at_] == ',') {
      ++at_;
    } else if (is_array_) {
      close();
    }
    return JsonEntry{entry, line};
  }

  /// Empty, or what is wrong with the end of an array; to be asked after the last entry.
  std::string wrong_end() const {
    if (!is_array_) return "";
    const std::string line = "line " + std::to_string(line_) + ": ";
    if (!ends_with_bracket_) return line + "the file ends within the array, expected ]";
    return at_ == text_.size() ? "" : line + "more text after the array's end";
  }

 private:
  void close() {
    closed_ = true;
    ends_with_bracket_ = at_ < text_.size();
    at_ = std::min(at_ + 1, text_.size());
    skip_blanks();
  }

  std::string_view take(std::size_t count) {
    const std::string_view taken = text_.substr(at_, count);
    line_ += static_cast<int>(std::ranges::count(taken, '\n'));
    at_ += taken.size();
    return taken;
  }

  void skip_blanks() { take(std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()) - at_); }

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool is_array_ = false, closed_ = false, ends_with_bracket_ = false;
};

/// Length of Python's `text.split()`.
inline int count_words(std::string_view text) {
  int words = 0;
  bool in_word = false;
  for (std::size_t i = 0; i < text.size(); i += utf8_length(text, i)) {
    const bool space = is_python_space(utf8_at(text, i));
    words += !space && !in_word ? 1 : 0;
    in_word = !space;
  }
  return words;
}

inline std::string sample_id(const json& entry) {
  const auto id = entry.find("id");
  if (id == entry.end() || id->is_null()) return "";
  return id->is_number_integer() ? id->dump() : json_as<std::string>(*id, "id");
}

inline ConversationSample parse_sample(const json& entry) {
  ConversationSample sample;
  if (const auto image = entry.find("image"); image != entry.end() && !image->is_null())
    sample.image = json_as<std::string>(*image, "image");
  const auto turns = entry.find("conversations");
  if (turns == entry.end() || !turns->is_array()) fail("expected a list in the field 'conversations'");
  for (const json& turn : *turns) {
    const std::string place = "message " + std::to_string(sample.turns.size() + 1);
    const auto from = require<std::string>(turn, "from", place);
    if (from != "human" && from != "gpt") fail(place, ": from is ", in_quotes(from), ", expected human or gpt");
    sample.turns.push_back({from == "human" ? "user" : "assistant", require<std::string>(turn, "value", place)});
    sample.words += count_words(sample.turns.back().text);
  }
  return sample;
}

}  // namespace detail

inline ConversationData::ConversationData(std::string_view text, const std::string& where,
                                          const std::filesystem::path& images, Tokenizer tokenizer,
                                          TrainingFormat format, Broken broken)
    : images_(images), tokenizer_(std::move(tokenizer)), format_(format) {
  detail::JsonEntries entries(text);
  std::vector<std::string> problems;
  std::size_t entry_count = 0;
  for (; const auto entry = entries.next(); ++entry_count) {
    std::string place = "line " + std::to_string(entry->line);
    try {
      const json parsed = parse_json(entry->text, "the entry");
      if (!parsed.is_object()) fail("expected a JSON object");
      const std::string id = detail::sample_id(parsed);
      if (!id.empty()) place += ", id " + in_quotes(id);
      ConversationSample sample = detail::parse_sample(parsed);
      sample.id = id;
      if (std::error_code error; sample.image && !std::filesystem::is_regular_file(images_ / *sample.image, error))
        fail("the image ", in_quotes((images_ / *sample.image).string()), " is missing or not a file");
      label_conversation(tokenizer_, sample.turns, sample.image.has_value(), format_);
      samples_.push_back(std::move(sample));
    } catch (const Error& error) {
      problems.push_back(place + ": " + error.what());
    }
  }
  if (const std::string wrong = entries.wrong_end(); !wrong.empty()) problems.push_back(wrong);
  if (!problems.empty() && (broken == Broken::refuse || samples_.empty())) {
    std::string list;
    for (const std::string& problem : problems) list += "\n  " + problem;
    fail(where, ": ", problems.size(), problems.size() == 1 ? " problem" : " problems", " in ", entry_count,
         " samples:", list);
  }
  if (samples_.empty()) fail(where, ": no sample found, expected at least one");
  skipped_ = std::move(problems);
}

}  // namespace tessera::io

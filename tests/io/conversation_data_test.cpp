#include "tessera/io/conversation_data.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/errors.hpp"
#include "support/temporary_folder.hpp"

using namespace tessera::io;
using tessera::ignored_label;
using tessera::test::contains;
using tessera::test::error_message;

namespace {

const std::filesystem::path data(TESSERA_TEST_DATA);
using Ids = std::vector<int>;

/// Marks a blank only at the start of a text, not behind an end token.
const Tokenizer& first_blank() {
  static const Tokenizer tokenizer = Tokenizer::from_folder(data / "training");
  return tokenizer;
}

const Tokenizer& legacy() {
  static const Tokenizer tokenizer = Tokenizer::from_folder(data / "tokenizers" / "legacy");
  return tokenizer;
}

std::vector<Turn> turns_of(const json& conversations) {
  std::vector<Turn> turns;
  for (const json& turn : conversations) {
    turns.push_back({turn["from"] == "human" ? "user" : "assistant", turn["value"].get<std::string>()});
  }
  return turns;
}

/// Writes data files beside a folder with two images and reads them.
class DataFolder {
 public:
  DataFolder() {
    std::filesystem::create_directory(folder_.path / "images");
    for (const char* image : {"a.png", "b.png"}) std::ofstream(folder_.path / "images" / image) << "x";
  }

  ConversationData read(const std::string& text,
                        ConversationData::Broken broken = ConversationData::Broken::refuse) const {
    std::ofstream(folder_.path / "data.json") << text;
    return {folder_.path / "data.json", folder_.path / "images", legacy(), {}, broken};
  }

  /// What the data set's Error says.
  std::string problems(const std::string& text) const {
    return error_message([&] { read(text); });
  }

 private:
  tessera::test::TemporaryFolder folder_;
};

std::string entry(const std::string& id, const std::string& image, const std::string& question,
                  const std::string& answer) {
  return R"({"id": ")" + id + "\", " + (image.empty() ? "" : R"("image": ")" + image + "\", ") +
         R"("conversations": [{"from": "human", "value": ")" + question + R"("}, {"from": "gpt", "value": ")" + answer +
         "\"}]}";
}

const std::string good = entry("1", "a.png", "<image>\\nWhat?", "A boat.");

}  // namespace

TEST_CASE("Ids and labels are those of LLaVA's preprocessing", "[conversation_data]") {
  const std::map<std::string, Tokenizer> tokenizers = {{"legacy", legacy()}, {"first_blank", first_blank()}};
  std::map<std::string, int> trained, refused;
  for (const json& one : read_json_file(data / "training" / "conversations.json")) {
    CAPTURE(one.dump());
    const Tokenizer& tokenizer = tokenizers.at(one["tokenizer"].get<std::string>());
    const auto name = one["template"].get<std::string>();
    TrainingFormat format{.conversation = conversation_template(name),
                          .rows_per_image = 1,
                          .max_length = one["max_length"].get<int>(),
                          .truncate = true};
    const std::vector<Turn> turns = turns_of(one["conversations"]);
    const bool has_image = one["image"].get<bool>();
    if (one.contains("refused")) {
      CHECK_THROWS_AS(label_conversation(tokenizer, turns, has_image, format), tessera::Error);
      ++refused[name];
      continue;
    }
    LabelledIds expected{one["ids"].get<Ids>(), {}};
    expected.labels.assign(expected.ids.size(), ignored_label);
    for (const json& run : one["trained"]) {
      for (auto i = run[0].get<std::size_t>(); i < run[1].get<std::size_t>(); ++i) expected.labels[i] = expected.ids[i];
    }
    const LabelledIds labelled = label_conversation(tokenizer, turns, has_image, format);
    CHECK(labelled == expected);
    ++trained[name];

    // With more rows for the image the rest is the same.
    format.rows_per_image = 3;
    format.max_length = 4000;
    const LabelledIds longer = label_conversation(tokenizer, turns, has_image, format);
    LabelledIds shorter;
    for (std::size_t i = 0; i < longer.ids.size(); ++i) {
      const bool further_row = longer.ids[i] == -200 && i + 1 < longer.ids.size() && longer.ids[i + 1] == -200;
      if (longer.ids[i] == -200) CHECK(longer.labels[i] == ignored_label);
      if (further_row) continue;
      shorter.ids.push_back(longer.ids[i]);
      shorter.labels.push_back(longer.labels[i]);
    }
    shorter.ids.resize(expected.ids.size());
    shorter.labels.resize(expected.ids.size());
    CHECK(shorter == expected);
  }
  CHECK(trained["v1"] >= 40);
  CHECK(trained["llava_llama_2"] >= 40);
  CHECK(trained["plain"] >= 20);
  CHECK(refused["v1"] >= 10);
  CHECK(refused["llava_llama_2"] >= 10);
}

TEST_CASE("Trained text is the prompt's, answers and end tokens alone count", "[conversation_data]") {
  const std::vector<Turn> turns = {
      {"user", "<image>\nWhat?"}, {"assistant", "A boat."}, {"user", "Where?"}, {"assistant", "In the water."}};
  const auto texts = [&](const char* name, const Tokenizer& tokenizer) {
    const TrainingFormat format{.conversation = conversation_template(name), .rows_per_image = 2};
    const LabelledIds sample = label_conversation(tokenizer, turns, true, format);
    Ids trained;
    for (const int label : sample.labels) {
      if (label != ignored_label) trained.push_back(label);
    }
    CHECK(std::ranges::count(sample.ids, -200) == 2);
    return tokenizer.decode(trained, false);
  };
  for (const Tokenizer* tokenizer : {&legacy(), &first_blank()}) {
    for (const char* name : {"v1", "llava_v1", "hf"}) CHECK(texts(name, *tokenizer) == "A boat.</s> In the water.</s>");
    for (const char* name : {"llava_llama_2", "llama_2"})
      CHECK(texts(name, *tokenizer) == "A boat. </s> In the water. </s>");
  }
  // The prompt is the one that the model will be asked with.
  for (const char* name : {"v1", "llava_v1", "llava_llama_2", "llama_2"}) {
    const auto kind = conversation_template(name);
    const TrainingFormat format{.conversation = kind, .rows_per_image = 1};
    CHECK(label_conversation(legacy(), turns, true, format).ids ==
          tokenize_with_image_sentinels(legacy(), format_conversation(kind, turns, false)));
  }
  const LabelledIds hf = label_conversation(legacy(), std::vector<Turn>{{"user", "What?"}, {"assistant", "A boat."}},
                                            false, {.conversation = ConversationTemplate::hugging_face});
  CHECK(hf.ids == legacy().encode("USER: What? ASSISTANT: A boat.</s>"));
  const TrainingFormat tags{.conversation = conversation_template("v1_mmtag"),
                            .image_token = *legacy().id_of("<image>")};
  CHECK_THAT(legacy().decode(label_conversation(legacy(), turns, true, tags).ids), contains("USER: <Image>"));
}

TEST_CASE("Conversations that cannot be trained", "[conversation_data]") {
  const auto refused = [](const std::vector<Turn>& turns, const TrainingFormat& format = {}, bool has_image = false) {
    return error_message([&] { label_conversation(legacy(), turns, has_image, format); });
  };
  CHECK_THAT(refused({}), contains("no message"));
  CHECK_THAT(refused({{"assistant", "a"}}), contains("no message"));
  CHECK_THAT(refused({{"user", "a"}}), contains("ends with a question"));
  CHECK_THAT(refused({{"user", "a"}, {"user", "b"}}), contains("message 2"));
  CHECK_THAT(refused({{"user", "a"}, {"assistant", ""}}), contains("message 2 is empty"));
  CHECK_THAT(refused({{"user", "a"}, {"assistant", "x</s>y"}}), contains("</s>"));
  CHECK_THAT(refused({{"user", "<image>"}, {"assistant", "x"}}), contains("expected none"));
  CHECK_THAT(refused({{"user", "a"}, {"assistant", "x"}}, {}, true), contains("expected one for the image"));
  CHECK_THAT(refused({{"user", "a"}, {"assistant", "<unk>"}}), contains("no token for"));
  CHECK_THAT(refused({{"user", "a"}, {"assistant", "b"}}, {.conversation = ConversationTemplate::plain}),
             contains("plain"));
  CHECK_THAT(refused({{"user", "a"}, {"assistant", "b"}}, {.conversation = ConversationTemplate::llava_v0}),
             contains("v0 is not supported"));
  // The original would train the end of this question.
  CHECK_THAT(refused({{"user", "Write ASSISTANT:"}, {"assistant", "b"}}), contains("' ASSISTANT: '"));

  const std::vector<Turn> turns = {{"user", "<image>\nWhat?"}, {"assistant", "A boat."}};
  TrainingFormat format{.conversation = ConversationTemplate::plain, .rows_per_image = 5, .max_length = 8};
  const std::size_t length = 6 + legacy().encode("A boat.\n", false).size();
  CHECK_THAT(refused(turns, format, true), contains(std::to_string(length) + " ids, expected at most 8"));
  format.truncate = true;
  CHECK(label_conversation(legacy(), turns, true, format).ids.size() == 8);
  format.max_length = 6;
  CHECK_THAT(refused(turns, format, true), contains("no answer begins"));
  format.max_length = 5;
  CHECK_THAT(refused(turns, format, true), contains("image does not fit"));
}

TEST_CASE("Data files: an array or lines", "[conversation_data]") {
  const DataFolder folder;
  const std::string number_id = R"({"id": 7, "model": "", "conversations": [{"from": "human", "value": "two words"},
      {"from": "gpt", "value": "and\u00a0three\nmore words "}], "extra": [1, {"x": "]"}]})";
  for (const bool array : {true, false}) {
    std::string one_line = number_id;
    std::erase(one_line, '\n');
    const ConversationData set =
        folder.read(array ? " [" + good + ",\n" + number_id + "]\n" : good + "\r\n\n" + one_line);
    REQUIRE(set.size() == 2);
    CHECK(set.sample(0).id == "1");
    CHECK(set.sample(1).id == "7");
    CHECK(set.image_path(0)->filename() == "a.png");
    CHECK_FALSE(set.image_path(1));
    CHECK(set.sample(0).turns == std::vector<Turn>{{"user", "<image>\nWhat?"}, {"assistant", "A boat."}});
    CHECK(set.modality_lengths() == std::vector<int>{4, -6});
    CHECK(set.skipped().empty());
    CHECK(set.labelled_ids(0).ids.size() > 576);
    CHECK(set.labelled_ids(1) == label_conversation(legacy(), set.sample(1).turns, false, {}));
  }
}

TEST_CASE("All that is wrong with a data file is said at once", "[conversation_data]") {
  const DataFolder folder;
  const std::vector<std::string> lines = {good,
                                          entry("no image", "c.png", "<image>\\nWhat?", "x"),
                                          R"({"id": "broken", "conversations": [})",
                                          entry("long", "", "a", std::string(9000, 'x')),
                                          R"([1, 2])",
                                          R"({"id": {}, "conversations": []})",
                                          R"({"id": "none"})",
                                          R"({"id": "role", "conversations": [{"from": "system", "value": "x"}]})",
                                          R"({"id": "half", "conversations": [{"from": "human", "value": 3}]})",
                                          entry("end", "", "a", "x</s>"),
                                          entry("folder", ".", "<image>", "x"),
                                          entry("2", "b.png", "<image>", "fine")};
  std::string array = "[\n", json_lines;
  for (const std::string& line : lines) {
    array += line + (&line == &lines.back() ? "\n]" : ",\n");
    if (line[0] != '[') json_lines += line + "\n";
  }
  const std::string said = folder.problems(array);
  CHECK_THAT(said, contains("data.json: 10 problems in 12 samples:"));
  CHECK_THAT(said, contains("\n  line 3, id 'no image': the image '") && contains("c.png' is missing"));
  CHECK_THAT(said, contains("\n  line 4: the entry: not valid JSON"));
  CHECK_THAT(said, contains("\n  line 5, id 'long': conversation: ") && contains("expected at most 2048"));
  CHECK_THAT(said, contains("\n  line 6: expected a JSON object"));
  CHECK_THAT(said, contains("\n  line 7: id: '{}' found"));
  CHECK_THAT(said, contains("\n  line 8, id 'none': expected a list in the field 'conversations'"));
  CHECK_THAT(said, contains("\n  line 9, id 'role': message 1: from is 'system'"));
  CHECK_THAT(said, contains("\n  line 10, id 'half': message 1: value: "));
  CHECK_THAT(said, contains("\n  line 11, id 'end': conversation: the text has </s>"));
  CHECK_THAT(said, contains("\n  line 12, id 'folder': the image"));
  CHECK_THAT(folder.problems(json_lines), contains("9 problems in 11 samples") && contains("\n  line 3: "));

  const ConversationData rest = folder.read(array, ConversationData::Broken::skip);
  CHECK(rest.size() == 2);
  CHECK(rest.sample(1).id == "2");
  CHECK(rest.skipped().size() == 10);
  CHECK_THAT(rest.skipped()[0], contains("line 3, id 'no image'"));
}

TEST_CASE("Files that are cut or empty", "[conversation_data]") {
  const DataFolder folder;
  CHECK_THAT(folder.problems("[" + good), contains("line 1: the file ends within the array"));
  CHECK_THAT(folder.problems("[" + good + ",\n"), contains("line 2: the file ends within the array"));
  CHECK_THAT(folder.problems("[" + good + ",\n{\"id\": \"x"), contains("line 2: the entry: not valid JSON"));
  CHECK_THAT(folder.problems("[" + good + "]\n\n x"), contains("line 3: more text after the array's end"));
  CHECK_THAT(folder.problems("[" + good + ",]"), contains("line 1: the entry: not valid JSON"));
  CHECK_THAT(folder.problems("[]"), contains("no sample found"));
  CHECK_THAT(folder.problems("\n"), contains("no sample found"));
  CHECK_THAT(folder.problems("["), contains("the file ends within the array"));
  CHECK_THAT(folder.problems(""), contains("empty"));
  CHECK_THAT(folder.problems("{]}"), contains("1 problem in 1 samples"));
  CHECK_THAT(folder.problems("[{\"id\": \"x,\n" + good + "]"), contains("1 problem in 1 samples"));
  CHECK_THAT(folder.problems("[}, " + good + "]"), contains("1 problem in 2 samples"));
  CHECK_THROWS_WITH(folder.read("[3]", ConversationData::Broken::skip), contains("expected a JSON object"));
}

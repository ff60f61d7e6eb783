#include "tessera/io/conversation.hpp"

#include <filesystem>
#include <string>
#include <vector>

#include "catch.hpp"

using namespace tessera::io;
using tessera::test::contains;

namespace {

const std::filesystem::path data = std::filesystem::path(TESSERA_TEST_DATA) / "tokenizers";
using Ids = std::vector<int>;

std::vector<Turn> turns_of(const json& list) {
  std::vector<Turn> turns;
  for (const json& turn : list) turns.push_back({turn["role"].get<std::string>(), turn["text"].get<std::string>()});
  return turns;
}

std::string format(const char* name, const std::vector<Turn>& turns, bool open_answer = true) {
  return format_conversation(conversation_template(name), turns, open_answer);
}

const std::string vicuna_system =
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite "
    "answers to the user's questions. ";

}  // namespace

TEST_CASE("Prompts are those of LLaVA's conversation.py and of the Hugging Face chat template", "[conversation]") {
  const json cases = read_json_file(data / "conversations.json");
  REQUIRE(cases.size() > 50);
  for (const json& one : cases) {
    CAPTURE(one.dump());
    const auto kind = conversation_template(one["template"].get<std::string>());
    auto turns = one.contains("messages") ? parse_messages(one["messages"].dump(), "test") : turns_of(one["turns"]);
    if (one.value("image_first", false)) continue;  // where the image goes is the caller's choice
    CHECK(format_conversation(kind, turns, one["open"].get<bool>()) == one["prompt"].get<std::string>());
  }
}

TEST_CASE("The published example prompts", "[conversation]") {
  CHECK(format("v1", {{"user", "<image>\nDescribe the image."}}) ==
        vicuna_system + "USER: <image>\nDescribe the image. ASSISTANT:");
  CHECK(format("hf", {{"user", "<image>\nDescribe the image."}}) == "USER: <image>\nDescribe the image. ASSISTANT:");
  CHECK(format("v1", {{"user", "Hi"}, {"assistant", "Hello."}, {"user", "Bye"}}) ==
        vicuna_system + "USER: Hi ASSISTANT: Hello.</s>USER: Bye ASSISTANT:");
  CHECK(format("llava_llama_2", {{"user", "Hi"}, {"assistant", "Hello."}, {"user", "Bye"}}) ==
        "[INST] <<SYS>>\n" + std::string(system_text(ConversationTemplate::llava_llama_2)) +
            "\n<</SYS>>\n\nHi [/INST] Hello. </s><s>[INST] Bye [/INST]");
  // Stage 1 trains on the caption right behind the image; the question is dropped.
  CHECK(format("plain", {{"user", "Describe.\n<image>"}, {"assistant", "a red boat"}}, false) == "<image>a red boat\n");
  CHECK(format("v1", {{"system", "Be brief."}, {"user", "Hi"}}) == "Be brief. USER: Hi ASSISTANT:");
}

TEST_CASE("Conversations out of order are refused", "[conversation]") {
  CHECK_THROWS_WITH(conversation_template("v2"), contains("v2") && contains("vicuna_v1"));
  CHECK_THROWS_WITH(format("v1", {}), contains("no message"));
  CHECK_THROWS_WITH(format("v1", {{"assistant", "Hi"}}), contains("message 1") && contains("expected user"));
  CHECK_THROWS_WITH(format("v1", {{"user", "Hi"}, {"user", "Hi"}}),
                    contains("message 2") && contains("expected assistant"));
  CHECK_THROWS_WITH(format("v1", {{"user", "Hi"}, {"assistant", "Hi"}}), contains("expected user to be answered"));
  CHECK_THROWS_WITH(format("plain", {{"user", "Hi"}, {"assistant", "Hi"}}, false), contains("has no <image>"));
}

TEST_CASE("Message lists", "[conversation]") {
  const auto parse = [](const char* text) { return parse_messages(text, "m.json"); };
  CHECK(parse(R"([{"role": "user", "content": "plain text"}, {"role": "assistant", "content": "yes"}])") ==
        std::vector<Turn>{{"user", "plain text"}, {"assistant", "yes"}});
  CHECK(
      parse(
          R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image", "url": "x"}, {"type": "text", "text": "b"}]}])") ==
      std::vector<Turn>{{"user", "<image>\na b"}});
  CHECK(parse("[]").empty());
  CHECK_THROWS_WITH(parse("{}"), contains("m.json: expected a list"));
  CHECK_THROWS_WITH(parse("[3]"), contains("m.json: message 1"));
  CHECK_THROWS_WITH(parse(R"([{"role": "user"}])"), contains("content is missing"));
  CHECK_THROWS_WITH(parse(R"([{"content": "x"}])"), contains("role"));
  CHECK_THROWS_WITH(parse(R"([{"role": "tool", "content": "x"}])"), contains("tool"));
  CHECK_THROWS_WITH(parse(R"([{"role": "user", "content": "x"}, {"role": "system", "content": "x"}])"),
                    contains("message 2"));
  CHECK_THROWS_WITH(parse(R"([{"role": "user", "content": 5}])"), contains("neither a string nor a list"));
  CHECK_THROWS_WITH(parse(R"([{"role": "user", "content": [{"type": "video"}]}])"), contains("video"));
  CHECK_THROWS_WITH(parse(R"([{"role": "user", "content": [{"type": "text"}]}])"), contains("text"));
}

TEST_CASE("Image positions in ids, the original way and Hugging Face's", "[conversation]") {
  const Tokenizer legacy = Tokenizer::from_folder(data / "legacy");
  const int bos = *legacy.bos_id(), image = *legacy.id_of("<image>");
  const auto plain = [&](const char* text) { return legacy.encode(text, false); };
  const auto joined = [](std::vector<Ids> parts) {
    Ids all;
    for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
  };
  const std::string prompt = "USER: <image>\nWhat? <image> ASSISTANT:";
  CHECK(tokenize_with_image_sentinels(legacy, prompt) ==
        joined({{bos}, plain("USER: "), {-200}, plain("\nWhat? "), {-200}, plain(" ASSISTANT:")}));
  CHECK(tokenize_with_image_sentinels(legacy, "<image>x") == joined({{bos, -200}, plain("x")}));
  CHECK(tokenize_with_image_sentinels(legacy, "x<image>", -1) == joined({{bos}, plain("x"), {-1}}));
  CHECK(tokenize_with_image_sentinels(legacy, "") == Ids{bos});

  const std::vector<int> rows = {2, 3};
  CHECK(
      tokenize_with_image_rows(legacy, prompt, rows) ==
      joined({{bos}, plain("USER: "), {image, image}, plain("\nWhat? "), {image, image, image}, plain(" ASSISTANT:")}));
  CHECK_THROWS_WITH(tokenize_with_image_rows(legacy, "<image><image><image>", rows), contains("more <image>"));
  CHECK_THROWS_WITH(tokenize_with_image_rows(legacy, "<image>", rows),
                    contains("has 1 <image>, expected one for each of 2"));
  CHECK_THROWS_WITH(tokenize_with_image_rows(legacy, "<image>", std::vector<int>{0}), contains("at least 1"));
}

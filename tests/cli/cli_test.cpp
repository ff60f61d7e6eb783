// The tool's contract: commands, files, messages, exit codes.

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include "catch.hpp"
#include "hub/llava_cases.hpp"
#include "tessera/io/npy.hpp"

using namespace tessera;
namespace fs = std::filesystem;

namespace {

struct Result {
  int code;
  std::string out, err;
};

std::string slurp(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A scratch folder, removed at the end.
struct Scratch {
  fs::path path = fs::temp_directory_path() / ("tessera_cli_" + std::to_string(::getpid()));
  Scratch() { fs::create_directories(path); }
  ~Scratch() { fs::remove_all(path); }
};

Result run(const Scratch& scratch, const std::string& arguments, const std::string& prefix = "") {
  const fs::path out = scratch.path / "stdout", err = scratch.path / "stderr";
  const fs::path script = scratch.path / "script.sh";
  std::ofstream(script) << prefix << "'" TESSERA_TOOL "' " << arguments << " </dev/null >'" << out.string() << "' 2>'" << err.string() << "'\n";
  const int status = std::system(("bash '" + script.string() + "'").c_str());
  return {WEXITSTATUS(status), slurp(out), slurp(err)};
}

const fs::path models = fs::path(TESSERA_TEST_DATA) / "models";
const std::string model = "--model '" + (models / "llava15_hub_f32/model").string() + "'";
const std::string picture = " --image '" + (models / "llava15_hub_f32/image.png").string() + "'";

bool is_one_sentence(const std::string& text) {
  return text.starts_with("tessera: ") && text.ends_with("\n") && std::count(text.begin(), text.end(), '\n') <= 3;
}

}  // namespace

TEST_CASE("ask --dump writes every intermediate result of the golden cases, on each backend") {
  const Scratch scratch;
  for (const test::LlavaCase& c : test::llava_cases()) {
    for (const std::string backend : {"native", "reference"}) {
      INFO(c.name() << " " << backend);
      std::string arguments = "ask --quiet --dtype f32 --temperature 0 --backend " + backend + " --model '" + c.model().string() +
                              "' --max-new " + std::to_string(c.about["max_new"].get<int>()) + " --dump '" + (scratch.path / "dump").string() +
                              "' --raw-prompt --prompt \"$PROMPT\"";
      if (!c.vision_tower().empty()) arguments += " --vision-tower '" + c.vision_tower().string() + "'";
      for (const auto& image : c.about.value("images", std::vector<std::string>{})) arguments += " --image '" + (c.folder / image).string() + "'";
      ::setenv("PROMPT", c.about["prompt"].get<std::string>().c_str(), 1);
      const Result result = run(scratch, arguments);
      REQUIRE(result.code == 0);
      CHECK(result.err.empty());
      const auto trimmed = [](std::string s) {
        s.erase(0, s.find_first_not_of(" \n"));
        s.erase(s.find_last_not_of(" \n") + 1);
        return s;
      };
      CHECK(trimmed(result.out) == trimmed(c.about["text"].get<std::string>()));
      const io::NpyFile logits(scratch.path / "dump/logits.npy"), ids(scratch.path / "dump/generated_ids.npy");
      CHECK(logits.array().data.size() == c.tensor<float>("logits").size() * sizeof(float));
      CHECK(ids.array().data.size() == c.ids("generated_ids").size() * sizeof(std::int64_t));
    }
  }
}

TEST_CASE("bad input ends with one sentence and exit code 1, wrong usage with 2") {
  const Scratch scratch;
  const auto refused = [&](const std::string& arguments, const std::string& expected) {
    const Result result = run(scratch, arguments);
    INFO(arguments << "\n" << result.err);
    CHECK(result.code == 1);
    CHECK(is_one_sentence(result.err));
    CHECK(result.err.find(expected) != std::string::npos);
    CHECK(result.out.empty());
  };
  refused("ask --model /nowhere --prompt hi", "/nowhere: the model folder is missing");
  refused("ask " + model + " --image /nowhere.png --prompt hi", "/nowhere.png");
  refused("ask " + model + picture + " --raw-prompt --prompt hi", "the prompt has 0 <image> placeholder(s), but 1 image(s) are given");
  refused("ask " + model + " --raw-prompt --prompt '<image> hi'", "the prompt has 1 <image> placeholder(s), but 0 image(s) are given");
  refused("pixels " + model + picture + " --out /nowhere/out.npy", "/nowhere/out.npy");
  refused("tokenize --model /nowhere", "/nowhere: no tokenizer there");
  refused("inspect --model '" + models.string() + "'", "config.json");
  CHECK(run(scratch, "ask").code == 2);
  CHECK(run(scratch, "ask " + model + " --prompt hi --backend cuda").code == 2);
  CHECK(run(scratch, "").code == 2);
  CHECK(run(scratch, "--help").code == 0);
  CHECK(run(scratch, "ask --help").code == 0);
  CHECK(run(scratch, "--version").out.starts_with("tessera "));
}

TEST_CASE("a prompt longer than the model's positions is refused") {
  const Scratch scratch;
  ::setenv("PROMPT", std::string(4000, 'x').c_str(), 1);
  const Result result = run(scratch, "ask " + model + " --raw-prompt --prompt \"$PROMPT\"");
  CHECK(result.code == 1);
  CHECK(result.err.find("does not fit the model's 512 positions") != std::string::npos);
}

TEST_CASE("a full disk leaves no half-written dump") {
  const Scratch scratch;
  const Result result = run(scratch, "ask " + model + picture + " --prompt hi --quiet --dump '" + (scratch.path / "dump").string() + "'",
                            "trap '' XFSZ; ulimit -f 8; ");
  CHECK(result.code == 1);
  CHECK(is_one_sentence(result.err));
  if (fs::exists(scratch.path / "dump")) {
    for (const auto& entry : fs::directory_iterator(scratch.path / "dump")) CHECK_NOTHROW(io::NpyFile(entry.path()));
  }
}

TEST_CASE("inspect prints the slots, in words and as JSON, without reading weights") {
  const Scratch scratch;
  const Result words = run(scratch, "inspect " + model);
  CHECK(words.code == 0);
  CHECK(words.out.starts_with("LLaVA-1.5 = Vlm<ViT (CLIP), MLPProjector<2, Gelu>, Llama, splice::AtImageToken>"));
  const io::json result = io::parse_json(run(scratch, "inspect --json --tokens 64 " + model).out, "inspect");
  CHECK(result["image_tokens"] == 9);
  CHECK(result["slots"].size() == 3);
  CHECK(result["slots"][0]["trained"]["stage2"] == false);
  CHECK(result["slots"][1]["trained"]["stage1"] == true);
  CHECK(result["cache_bytes"] == 2 * 64 * 40 * 4 * 2);
}

// The tool's contract: commands, files, messages, exit codes.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <sys/wait.h>

#include "tessera/io/npy.hpp"

#include "catch.hpp"
#include "hub/llava_cases.hpp"
#include "support/temporary_folder.hpp"

using namespace tessera;
using test::TemporaryFolder;
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

Result run(const TemporaryFolder& scratch, const std::string& arguments, const std::string& prefix = "") {
  const fs::path out = scratch.path / "stdout", err = scratch.path / "stderr";
  const fs::path script = scratch.path / "script.sh";
  std::ofstream(script) << prefix << "'" TESSERA_TOOL "' " << arguments << " </dev/null >'" << out.string() << "' 2>'"
                        << err.string() << "'\n";
  const int status = std::system(("bash '" + script.string() + "'").c_str());
  return {WEXITSTATUS(status), slurp(out), slurp(err)};
}

const fs::path models = fs::path(TESSERA_TEST_DATA) / "models";
const std::string model = "--model '" + (models / "llava15_hub_f32/model").string() + "'";
const std::string picture = " --image '" + (models / "llava15_hub_f32/image.png").string() + "'";

bool is_one_sentence(const std::string& text) {
  return text.starts_with("tessera: ") && text.ends_with("\n") && std::count(text.begin(), text.end(), '\n') == 1;
}

/// The backends that this build of the tool has.
const std::vector<std::string> backends = {
    "native",
    "reference",
#if defined(TESSERA_WITH_ONEDNN)
    "onednn",
#endif
#if defined(TESSERA_WITH_EIGEN)
    "eigen",
#endif
};

/// The arguments that ask a golden case, greedily.
std::string ask(const test::LlavaCase& c) {
  std::string arguments =
      "ask --dtype f32 --temperature 0 --model '" + c.model().string() + "' --max-new " + c.about["max_new"].dump();
  if (!c.vision_tower().empty()) arguments += " --vision-tower '" + c.vision_tower().string() + "'";
  for (const auto& image : c.about.value("images", std::vector<std::string>{}))
    arguments += " --image '" + (c.folder / image).string() + "'";
  ::setenv("PROMPT", c.about["prompt"].get<std::string>().c_str(), 1);
  return arguments + " --raw-prompt --prompt \"$PROMPT\"";
}

std::string trimmed(std::string text) {
  text.erase(0, text.find_first_not_of(" \n"));
  text.erase(text.find_last_not_of(" \n") + 1);
  return text;
}

/// The shape of a golden tensor as the dump has it: features in one list of rows, hidden states of a single image as a
/// matrix.
std::vector<std::int64_t> dumped_shape(const std::string& name, std::vector<std::int64_t> shape) {
  if (name == "image_features") return {shape[0] * shape[1], shape[2]};
  if (name == "vision_hidden" && shape[0] == 1) shape.erase(shape.begin());
  return shape;
}

/// The golden tensor and the dumped file, whose type and shape are checked.
template <class T>
std::pair<std::vector<T>, std::vector<T>> expected_and_dumped(const test::LlavaCase& c, const std::string& name,
                                                              const fs::path& dump) {
  const io::TensorView* expected = c.expected.find(name);
  REQUIRE(expected != nullptr);
  const io::NpyFile file(dump / (name + ".npy"));
  const io::NpyArray& array = file.array();
  CHECK(array.dtype == expected->dtype);
  CHECK(array.shape == dumped_shape(name, expected->shape));
  std::vector<T> dumped(array.data.size() / sizeof(T));
  std::memcpy(dumped.data(), array.data.data(), array.data.size());
  return {c.tensor<T>(name.c_str()), std::move(dumped)};
}

template <class T>
void check_equal(const test::LlavaCase& c, const std::string& name, const fs::path& dump) {
  INFO(name);
  const auto [expected, dumped] = expected_and_dumped<T>(c, name, dump);
  CHECK(dumped == expected);
}

void check_close(const test::LlavaCase& c, const std::string& name, const fs::path& dump) {
  INFO(name);
  const auto [expected, dumped] = expected_and_dumped<float>(c, name, dump);
  CHECK(test::relative_max_error(dumped, expected) <= test::fidelity_bound);
}

}  // namespace

TEST_CASE("pixels of every layout are those that its tower gets") {
  const TemporaryFolder scratch;
  for (const test::LlavaCase& c : test::llava_cases()) {
    const auto images = c.about.value("images", std::vector<std::string>{});
    if (images.size() != 1) continue;
    INFO(c.name());
    const fs::path out = scratch.path / "pixels.npy";
    std::string arguments = "pixels --model '" + c.model().string() + "' --image '" + (c.folder / images[0]).string() +
                            "' --out '" + out.string() + "'";
    if (!c.vision_tower().empty()) arguments += " --vision-tower '" + c.vision_tower().string() + "'";
    REQUIRE(run(scratch, arguments).code == 0);
    const auto expected = c.open().pixels(c.folder / images[0]).values;
    const io::NpyFile file(out);
    const auto actual = file.array().data;
    REQUIRE(actual.size() == expected.size() * sizeof(float));
    CHECK(std::memcmp(actual.data(), expected.data(), actual.size()) == 0);
  }
}

TEST_CASE("ask --dump writes every intermediate result of the golden cases, on each backend") {
  for (const test::LlavaCase& c : test::llava_cases()) {
    for (const std::string& backend : backends) {
      INFO(c.name() << " " << backend);
      const TemporaryFolder scratch;
      const fs::path dump = scratch.path / "dump";
      const Result result = run(scratch, ask(c) + " --quiet --backend " + backend + " --dump '" + dump.string() + "'");
      REQUIRE(result.code == 0);
      CHECK(result.err.empty());
      CHECK(trimmed(result.out) == trimmed(c.about["text"].get<std::string>()));

      const bool sees = c.expected.find("pixel_values") != nullptr;
      check_equal<std::int64_t>(c, "input_ids", dump);
      check_equal<std::int64_t>(c, "generated_ids", dump);
      if (sees) check_equal<float>(c, "pixel_values", dump);
      check_close(c, "logits", dump);
      if (sees) check_close(c, "vision_hidden", dump);
      if (sees) check_close(c, "image_features", dump);
      CHECK(std::distance(fs::directory_iterator(dump), {}) == (sees ? 6 : 3));
    }
  }
}

TEST_CASE("bad input ends with one sentence and exit code 1, wrong usage with 2") {
  const TemporaryFolder scratch;
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
  refused("ask " + model + picture + " --raw-prompt --prompt hi",
          "the prompt has 0 <image> placeholder(s), but 1 image(s) are given");
  refused("ask " + model + " --raw-prompt --prompt '<image> hi'",
          "the prompt has 1 <image> placeholder(s), but 0 image(s) are given");
  refused("pixels " + model + picture + " --out /nowhere/out.npy", "/nowhere/out.npy");
  refused("tokenize --model /nowhere", "/nowhere: no tokenizer there");
  refused("inspect --model '" + models.string() + "'", "config.json");
  CHECK(run(scratch, "ask").code == 2);
  CHECK(run(scratch, "ask " + model + " --prompt hi --backend cuda").code == 2);
  CHECK(run(scratch, "").code == 2);
  CHECK(run(scratch, "tokenise --model x").err.starts_with("'tokenise' is unknown. "));
  CHECK(run(scratch, "--help").code == 0);
  CHECK(run(scratch, "ask --help").code == 0);
  CHECK(run(scratch, "--version").out.starts_with("tessera "));
}

TEST_CASE("a prompt longer than the model's positions is refused") {
  const TemporaryFolder scratch;
  ::setenv("PROMPT", std::string(4000, 'x').c_str(), 1);
  const Result result = run(scratch, "ask " + model + " --raw-prompt --prompt \"$PROMPT\"");
  CHECK(result.code == 1);
  CHECK(result.err.find("does not fit the model's 512 positions") != std::string::npos);
}

TEST_CASE("a full disk leaves no half-written dump") {
  const TemporaryFolder scratch;
  const Result result =
      run(scratch, "ask " + model + picture + " --prompt hi --quiet --dump '" + (scratch.path / "dump").string() + "'",
          "trap '' XFSZ; ulimit -f 8; ");
  CHECK(result.code == 1);
  CHECK(is_one_sentence(result.err));
  if (fs::exists(scratch.path / "dump")) {
    for (const auto& entry : fs::directory_iterator(scratch.path / "dump")) CHECK_NOTHROW(io::NpyFile(entry.path()));
  }
}

TEST_CASE("inspect prints the slots, in words and as JSON, without reading weights") {
  const TemporaryFolder scratch;
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

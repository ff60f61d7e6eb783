// `tessera train`: what it writes, that it resumes after any kill, and that what is frozen stays as it was.

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "tessera/io/checkpoint.hpp"
#include "tessera/io/image_processor.hpp"
#include "tessera/io/npy.hpp"

#include "catch.hpp"
#include "support/temporary_folder.hpp"

using namespace tessera;
using test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

const fs::path data = TESSERA_TEST_DATA;
const fs::path model = data / "models/llava15_hub_f32/model";

std::string slurp(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> arguments(int stage, const fs::path& out, const std::vector<std::string>& more,
                                   const std::string& learning_rate = "1e-3") {
  std::vector<std::string> words{"train",
                                 "--system",
                                 "llava-1.5",
                                 "--stage",
                                 std::to_string(stage),
                                 "--model",
                                 model,
                                 "--data",
                                 data / "training" / ("stage" + std::to_string(stage)) / "data.json",
                                 "--images",
                                 data / "models/llava15_hub_f32_two_images",
                                 "--out",
                                 out,
                                 "--batch",
                                 "2",
                                 "--order",
                                 "shuffle",
                                 "--seed",
                                 "5",
                                 "--steps",
                                 "30",
                                 "--lr",
                                 learning_rate,
                                 "--threads",
                                 "2",
                                 "--quiet"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// `errors`: gets what it prints on stderr.
pid_t start(const std::vector<std::string>& words, const fs::path& errors = {}) {
  std::vector<char*> argv{const_cast<char*>(TESSERA_TOOL)};
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    if (!errors.empty() && std::freopen(errors.c_str(), "w", stderr) == nullptr) ::_exit(127);
    ::execv(TESSERA_TOOL, argv.data());
    ::_exit(127);
  }
  return child;
}

/// The exit code; 128 + the signal for a process that was killed.
int wait_for(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run(const std::vector<std::string>& words) { return wait_for(start(words)); }

/// Every line of a log without the speed, which no two runs share.
std::vector<std::string> steps_of(const fs::path& log) {
  std::vector<std::string> steps;
  std::ifstream in(log);
  for (std::string line; std::getline(in, line);) {
    io::json entry = io::json::parse(line);
    entry.erase("tokens_per_s");
    steps.push_back(entry.dump());
  }
  return steps;
}

std::map<std::string, std::string> tensors_of(const fs::path& folder) {
  std::map<std::string, std::string> bytes;
  const io::Checkpoint checkpoint = io::Checkpoint::open(folder);
  for (const std::string& name : checkpoint.names()) {
    const auto content = checkpoint.find(name)->data;
    bytes[name] = std::string(reinterpret_cast<const char*>(content.data()), content.size());
  }
  return bytes;
}

}  // namespace

TEST_CASE("a run that is killed twenty times ends with the bytes of an unbroken one") {
  const TemporaryFolder scratch;
  const fs::path whole = scratch.path / "whole", broken = scratch.path / "broken";
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(run(arguments(2, whole, {"--log", whole.string() + ".jsonl"})) == 0);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

  const auto words = arguments(2, broken, {"--save-every", "1", "--resume", "--log", broken.string() + ".jsonl"});
  std::mt19937 random(7);
  int kills = 0;
  for (int i = 0; i < 20; ++i) {
    const pid_t child = start(words);
    std::this_thread::sleep_for(
        std::chrono::duration<double>(seconds * (0.2 + 0.6 * static_cast<double>(random()) / 4294967296.0)));
    ::kill(child, SIGKILL);
    kills += wait_for(child) == 128 + SIGKILL ? 1 : 0;
  }
  CHECK(kills >= 1);
  REQUIRE(run(words) == 0);
  CHECK(steps_of(whole.string() + ".jsonl").size() == 30);
  CHECK(steps_of(whole.string() + ".jsonl") == steps_of(broken.string() + ".jsonl"));
  CHECK(slurp(whole / "model.safetensors") == slurp(broken / "model.safetensors"));
  CHECK(slurp(whole / "training_state.safetensors") == slurp(broken / "training_state.safetensors"));
  const auto files_of = [](const fs::path& folder) {
    std::set<fs::path> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
    return names;
  };
  CHECK(files_of(whole) == files_of(broken));
}

TEST_CASE("what a stage freezes keeps its bytes, and what it trains does not") {
  const auto before = tensors_of(model);
  for (const int stage : {1, 2}) {
    const TemporaryFolder scratch;
    REQUIRE(run(arguments(stage, scratch.path / "out", {})) == 0);
    const auto after = tensors_of(scratch.path / "out");
    REQUIRE(after.size() == before.size());
    for (const auto& [name, bytes] : before) {
      const bool projector = name.starts_with("multi_modal_projector."), language = name.starts_with("language_model.");
      INFO("stage " << stage << ": " << name);
      CHECK((after.at(name) != bytes) == (projector || (stage == 2 && language)));
    }
  }
}

TEST_CASE("a state of another run is refused, and a finished run stays as it is") {
  const TemporaryFolder scratch;
  const fs::path out = scratch.path / "out";
  REQUIRE(run(arguments(1, out, {})) == 0);
  const std::string bytes = slurp(out / "model.safetensors");
  REQUIRE(run(arguments(1, out, {"--resume"})) == 0);
  CHECK(slurp(out / "model.safetensors") == bytes);
  CHECK(run(arguments(1, out, {"--resume", "--weight-decay", "0.1"})) == 1);
  CHECK(slurp(out / "model.safetensors") == bytes);
}

TEST_CASE("a state of another model is refused") {
  const TemporaryFolder scratch;
  const fs::path other = scratch.path / "other", out = scratch.path / "out";
  REQUIRE(run(arguments(1, other, {})) == 0);
  REQUIRE(run(arguments(1, out, {})) == 0);
  auto words = arguments(1, out, {"--resume"});
  *std::find(words.begin(), words.end(), model.string()) = other;  // the same shapes
  CHECK(run(words) == 1);
}

TEST_CASE("a trained folder has every companion of its source, and tells how its images were padded") {
  const TemporaryFolder scratch;
  const fs::path source = scratch.path / "source", out = scratch.path / "out";
  fs::copy(model, source);
  std::ofstream(source / ".gitkeep");
  std::ofstream(source / "pytorch_model.pth") << "weights";
  auto words = arguments(2, out, {});
  *std::find(words.begin(), words.end(), model.string()) = source;
  REQUIRE(run(words) == 0);
  CHECK(fs::file_size(out / ".gitkeep") == 0);
  CHECK(!fs::exists(out / "pytorch_model.pth"));
  CHECK(!io::load_image_processor(source).pad_to_square);
  CHECK(io::load_image_processor(out).pad_to_square);  // LLaVA-1.5's stage 2

  const fs::path square = scratch.path / "square";
  words = arguments(2, square, {"--image-aspect-ratio", "square"});
  *std::find(words.begin(), words.end(), model.string()) = out;
  REQUIRE(run(words) == 0);
  CHECK(!io::load_image_processor(square).pad_to_square);
}

TEST_CASE("conversations that are too long are refused, or cut on request") {
  const TemporaryFolder scratch;
  const fs::path out = scratch.path / "out", errors = scratch.path / "errors";
  CHECK(wait_for(start(arguments(2, out, {"--max-length", "150"}), errors)) == 1);
  CHECK(slurp(errors).find("ids, expected at most 150") != std::string::npos);
  CHECK(run(arguments(2, out, {"--max-length", "150", "--truncate"})) == 0);
}

TEST_CASE("a new projector is drawn with the seed") {
  const TemporaryFolder scratch;
  const auto projector = [&](const std::string& name, const std::string& seed) {
    auto words = arguments(1, scratch.path / name, {"--new-projector"}, "0");  // what is drawn stays
    *(std::find(words.begin(), words.end(), "--seed") + 1) = seed;
    REQUIRE(run(words) == 0);
    return tensors_of(scratch.path / name);
  };
  const auto before = tensors_of(model), first = projector("first", "5"), again = projector("again", "5"),
             other = projector("other", "6");
  const std::string weight = "multi_modal_projector.linear_1.weight";
  CHECK(first == again);
  CHECK(first.at(weight) != before.at(weight));
  CHECK(first.at(weight) != other.at(weight));
  CHECK(first.at("language_model.lm_head.weight") == before.at("language_model.lm_head.weight"));
}

TEST_CASE("cached features train as fresh ones do, and other pixels have others") {
  const TemporaryFolder scratch;
  const fs::path cache = scratch.path / "cache";
  const auto train = [&](const std::string& name, std::vector<std::string> more) {
    REQUIRE(run(arguments(1, scratch.path / name, more)) == 0);
    return slurp(scratch.path / name / "model.safetensors");
  };
  const auto files = [&] { return std::distance(fs::directory_iterator(cache), fs::directory_iterator()); };
  const std::string fresh = train("fresh", {});
  CHECK(train("filling", {"--cache-features", cache}) == fresh);
  CHECK(files() == 2);
  CHECK(train("cached", {"--cache-features", cache}) == fresh);
  CHECK(files() == 2);
  CHECK(train("padded", {"--cache-features", cache, "--image-aspect-ratio", "pad"}) != fresh);
  CHECK(files() == 4);
}

TEST_CASE("the dump of a step has all samples of its batches") {
  const TemporaryFolder scratch;
  const fs::path dump = scratch.path / "dump";
  REQUIRE(run(arguments(1, scratch.path / "out", {"--accumulate", "2", "--dump-step", dump})) == 0);
  CHECK(io::NpyFile(dump / "input_ids.npy").array().shape.front() == 4);
}

TEST_CASE("a loss that is not finite stops the run with a sentence, and writes no model") {
  const TemporaryFolder scratch;
  const fs::path out = scratch.path / "out";
  const fs::path errors = scratch.path / "errors";
  CHECK(wait_for(start(arguments(2, out, {"--clip", "0"}, "1e30"), errors)) == 1);
  INFO(slurp(errors));
  CHECK(slurp(errors).find("step 2: loss") != std::string::npos);
  CHECK(slurp(errors).find(".weight' is the first result that is not finite") != std::string::npos);
  CHECK(!fs::exists(out / "model.safetensors"));
}

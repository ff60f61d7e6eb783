#include "tessera/io/checkpoint.hpp"

#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/stat.h>

#include "catch.hpp"
#include "support/errors.hpp"
#include "support/temporary_folder.hpp"

using namespace tessera;
using test::contains;
using test::starts_with;

namespace {

struct ModelFolder : test::TemporaryFolder {
  void write(const std::string& name, std::string_view content) const {
    std::ofstream(path / name, std::ios::binary) << content;
  }
  // One tensor of two bytes for each name; its bytes are the first two of "<name><name>".
  void write_tensors(const std::string& file, const std::vector<std::string>& names) const {
    std::vector<std::string> data;
    for (const std::string& name : names) data.push_back((name + name).substr(0, 2));
    std::vector<io::TensorView> tensors;
    for (std::size_t i = 0; i < names.size(); ++i)
      tensors.push_back({names[i], DType::u8, {2}, std::as_bytes(std::span(data[i]))});
    io::write_safetensors(path / file, tensors);
  }
  void write_index(const std::string& weight_map) const {
    write("model.safetensors.index.json", "{\"metadata\": {\"total_size\": 6.0}, \"weight_map\": " + weight_map + "}");
  }
};

std::string text_of(const io::TensorView* tensor) {
  REQUIRE(tensor != nullptr);
  return {reinterpret_cast<const char*>(tensor->data.data()), tensor->data.size()};
}

void check_refused(const ModelFolder& folder, const std::vector<std::string>& expected) {
  const std::string message = test::error_message([&] { io::Checkpoint::open(folder.path); });
  CHECK_THAT(message, starts_with(folder.path.string()));
  for (const std::string& part : expected) CHECK_THAT(message, contains(part));
}

}  // namespace

TEST_CASE("a single model.safetensors is opened") {
  const ModelFolder folder;
  folder.write_tensors("model.safetensors", {"b", "a"});
  folder.write_tensors("other.safetensors", {"c"});
  folder.write_index("{\"stale\": \"missing.safetensors\"}");
  const io::Checkpoint checkpoint = io::Checkpoint::open(folder.path);
  CHECK(checkpoint.names() == std::vector<std::string>{"a", "b"});
  CHECK(text_of(checkpoint.find("a")) == "aa");
  CHECK(checkpoint.find("c") == nullptr);
}

TEST_CASE("the only *.safetensors file of a folder is opened") {
  const ModelFolder folder;
  folder.write_tensors("adapter.safetensors", {"a"});
  folder.write("pytorch_model.bin", "x");
  CHECK(text_of(io::Checkpoint::open(folder.path).find("a")) == "aa");
  folder.write_tensors("second.safetensors", {"a"});
  check_refused(folder, {"2 *.safetensors files and no model.safetensors.index.json"});
}

TEST_CASE("shards are opened through their index") {
  const ModelFolder folder;
  folder.write_tensors("model-1.safetensors", {"a", "c"});
  folder.write_tensors("model-2.safetensors", {"b"});
  folder.write_tensors("unrelated.safetensors", {"d"});
  folder.write_index(R"({"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"})");
  io::Checkpoint checkpoint = io::Checkpoint::open(folder.path);
  const io::TensorView* c = checkpoint.find("c");
  CHECK(checkpoint.names() == std::vector<std::string>{"a", "b", "c"});
  CHECK(text_of(checkpoint.find("b")) == "bb");
  CHECK(checkpoint.find("d") == nullptr);

  const io::Checkpoint moved = std::move(checkpoint);
  CHECK(moved.find("c") == c);
  moved.release(*c);
  CHECK(text_of(c) == "cc");
}

TEST_CASE("files behind symbolic links are opened, as in the Hugging Face cache") {
  const ModelFolder folder;
  std::filesystem::create_directory(folder.path / "blobs");
  folder.write_tensors("blobs/3f2a", {"a"});
  std::filesystem::create_symlink("blobs/3f2a", folder.path / "model.safetensors");
  CHECK(text_of(io::Checkpoint::open(folder.path).find("a")) == "aa");
}

TEST_CASE("one error lists all differences between the index and the shards") {
  const ModelFolder folder;
  folder.write_tensors("model-1.safetensors", {"a", "unmapped"});
  folder.write_tensors("model-2.safetensors", {"b", "a"});
  folder.write("model-4.safetensors", "broken");
  folder.write_index(R"({"a": "model-1.safetensors", "b": "model-2.safetensors", "lost": "model-2.safetensors",
                         "c": "model-3.safetensors", "d": "model-4.safetensors"})");
  check_refused(folder, {"model.safetensors.index.json: ",
                         "tensor 'unmapped': model-1.safetensors holds it, but the weight_map does not",
                         "tensor 'a': model-2.safetensors holds it, but the weight_map does not",
                         "tensor 'lost': the weight_map expects it in model-2.safetensors, which lacks it",
                         "model-3.safetensors: cannot be opened: No such file",
                         "model-4.safetensors: not a safetensors file: 6 bytes found"});
}

TEST_CASE("an index cannot lead out of the folder") {
  const ModelFolder folder;
  folder.write_tensors("outside.safetensors", {"a"});
  std::filesystem::create_directory(folder.path / "model");
  for (const std::string name : {"../outside.safetensors", "/etc/passwd.safetensors", "x/../../outside.safetensors",
                                 "..\\\\outside.safetensors", "outside.safetensors\\u0000", "..", "", "weights.bin"}) {
    CAPTURE(name);
    folder.write("model/model.safetensors.index.json", "{\"weight_map\": {\"a\": \"" + name + "\"}}");
    CHECK_THROWS_WITH(io::Checkpoint::open(folder.path / "model"),
                      contains("weight_map: tensor 'a': ") &&
                          contains("expected the name of a *.safetensors file of the same folder"));
  }
}

TEST_CASE("a malformed index is refused") {
  const ModelFolder folder;
  folder.write_tensors("a.safetensors", {"a"});
  folder.write("model.safetensors.index.json", "{");
  check_refused(folder, {"index.json: not valid JSON"});
  folder.write("model.safetensors.index.json", "[]");
  check_refused(folder, {"'weight_map' is missing"});
  folder.write("model.safetensors.index.json", "{}");
  check_refused(folder, {"'weight_map' is missing"});
  folder.write_index("[]");
  check_refused(folder, {"not an object"});
  folder.write_index("{\"a\": 1}");
  check_refused(folder, {"tensor 'a': '1' found, expected a string"});
  folder.write_index(R"({"a": "a.safetensors", "a": "b.safetensors"})");
  check_refused(folder, {"'a' twice"});
}

TEST_CASE("a folder without readable weights says what is expected") {
  const ModelFolder folder;
  check_refused(folder, {"no weights found, expected model.safetensors"});
  folder.write("pytorch_model-00001-of-00002.bin", "x");
  check_refused(folder, {"pickle", "save_pretrained(folder, safe_serialization=True)"});
  CHECK_THROWS_WITH(io::Checkpoint::open(folder.path / "missing"), contains("the model folder is missing"));
  CHECK_THROWS_WITH(io::Checkpoint::open(folder.path / "pytorch_model-00001-of-00002.bin"), contains("not a folder"));
  folder.write("model.safetensors", "");
  check_refused(folder, {"model.safetensors: the file is empty"});
}

TEST_CASE("a pipe in place of a file is refused at once") {
  const ModelFolder folder;
  REQUIRE(::mkfifo((folder.path / "model.safetensors").c_str(), 0600) == 0);
  check_refused(folder, {"model.safetensors: is not a regular file"});
}

TEST_CASE("released pages leave the memory and can be read again") {
  const ModelFolder folder;
  const std::string data(8 << 20, 'x');
  const std::vector<io::TensorView> tensors = {{"big", DType::u8, {8 << 20}, std::as_bytes(std::span(data))}};
  io::write_safetensors(folder.path / "model.safetensors", tensors);
  const io::Checkpoint checkpoint = io::Checkpoint::open(folder.path);
  const io::TensorView* big = checkpoint.find("big");

  const auto resident_pages = [] {
    std::size_t total = 0, resident = 0;
    std::ifstream("/proc/self/statm") >> total >> resident;
    return resident;
  };
  CHECK(text_of(big) == data);
  const std::size_t before = resident_pages();
  checkpoint.release(*big);
  CHECK(resident_pages() + 1000 < before);  // 8 MiB are 2048 pages
  CHECK(text_of(big) == data);
}

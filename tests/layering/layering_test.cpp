// Includes point in one direction, and only the opt-in headers know other libraries.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "catch.hpp"

namespace {

using Names = std::set<std::string>;

/// The text of every header under its path below include/tessera, e.g. "core/dims.hpp".
using Tree = std::map<std::string, std::string>;

/// What the headers of each folder may include: their own, and those that were there before them.
const std::map<std::string, Names> folders_below = [] {
  std::map<std::string, Names> below;
  Names before;
  for (const char* folder : {"core", "format", "kernel", "ops", "layer"}) {
    below[folder] = before;
    before.insert(folder);
  }
  const Names slots = {"vision", "connect", "language"};
  for (const std::string& slot : slots) below[slot] = before;
  before.insert(slots.begin(), slots.end());
  for (const char* folder : {"model", "train"}) {
    below[folder] = before;
    before.insert(folder);
  }
  below["testing"] = before;

  below["io"] = {"core", "format"};
  before.insert("io");
  below["hub"] = before;
  below["interop"] = {"core"};
  below[""] = before;  // tessera.hpp and training.hpp
  below[""].insert("testing");
  return below;
}();

/// What the standard library does not have: system headers for everybody, …
const Names system_headers = {"cpuid.h", "fcntl.h", "immintrin.h", "omp.h", "sys/mman.h", "sys/stat.h", "unistd.h"};

/// … and other libraries, each for one header.
const std::map<std::string, Names> libraries = {
    {"io/json.hpp", {"nlohmann/json.hpp"}},
    {"io/jpeg.hpp", {"jpeglib.h", "jerror.h"}},
    {"io/png.hpp", {"png.h"}},
    {"io/tokenizer/regex.hpp", {"pcre2.h"}},
    {"io/tokenizer/unicode.hpp", {"utf8proc.h"}},
    {"ops/onednn.hpp", {"dnnl.hpp"}},
    {"ops/eigen.hpp", {"Eigen/Core"}},
    {"interop/eigen.hpp", {"Eigen/Core"}},
    {"interop/xtensor.hpp",
     {"xtensor/xadapt.hpp", "xtensor/xarray.hpp", "xtensor/xstrided_view.hpp", "xtensor/xtensor.hpp"}},
};

/// Arrows against the order of the folders, each with its reason.
const std::set<std::pair<std::string, std::string>> exceptions = {
    {"ops/eigen.hpp", "interop/eigen.hpp"},  // both opt in to Eigen
    {"interop/xtensor.hpp", "io/npy.hpp"},   // needs no library
};

/// Costly to parse (<regex>), or a static constructor in every program (<iostream>).
const Names unwanted = {"iostream", "regex"};

std::string folder_of(const std::string& header) {
  const std::size_t slash = header.find('/');
  return slash == std::string::npos ? "" : header.substr(0, slash);
}

bool opt_in(const std::string& header) {
  const std::string folder = folder_of(header);
  return folder == "io" || folder == "hub" || folder == "interop" || header == "ops/onednn.hpp" ||
         header == "ops/eigen.hpp";
}

/// Null, or why `header` may not include our header `other`.
const char* wrong_arrow(const std::string& header, const std::string& other) {
  const std::string from = folder_of(header), to = folder_of(other);
  if (exceptions.count({header, other}) != 0) return nullptr;
  if (to.empty()) return other == "version.hpp" ? nullptr : "is for users";
  if (from != to && folders_below.at(from).count(to) == 0) return "points in the wrong direction";
  if (opt_in(other) && !opt_in(header)) return "is opt-in";
  return nullptr;
}

const char* wrong_library(const std::string& header, const std::string& other) {
  if (unwanted.count(other) != 0) return "is unwanted";
  const bool standard = other.find_first_of("./") == std::string::npos;
  if (standard || system_headers.count(other) != 0) return nullptr;
  const auto allowed = libraries.find(header);
  return allowed != libraries.end() && allowed->second.count(other) != 0 ? nullptr : "is no library for this header";
}

/// One line for every include that breaks a rule.
std::vector<std::string> violations(const Tree& tree) {
  static const std::regex include(R"re(^\s*#\s*include\s*([<"])([^>"]+)[>"])re");
  std::vector<std::string> found;
  for (const auto& [header, text] : tree) {
    if (folders_below.count(folder_of(header)) == 0) {
      found.push_back(header + " is in an unknown folder");
      continue;
    }
    std::istringstream lines(text);
    std::smatch match;
    for (std::string line; std::getline(lines, line);) {
      if (!std::regex_search(line, match, include)) continue;
      const std::string other = match[2];
      const std::string prefix = "tessera/";
      const char* wrong = match[1] == "<"               ? wrong_library(header, other)
                          : other.rfind(prefix, 0) != 0 ? "must start with tessera/"
                                                        : wrong_arrow(header, other.substr(prefix.size()));
      if (wrong != nullptr) found.push_back(header + " includes " + other + ", which " + wrong);
    }
  }
  return found;
}

Tree headers_of_the_library() {
  const std::filesystem::path root = std::filesystem::path(TESSERA_INCLUDE) / "tessera";
  Tree tree;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().extension() != ".hpp") continue;
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    tree[std::filesystem::relative(entry.path(), root).generic_string()] = text.str();
  }
  return tree;
}

}  // namespace

TEST_CASE("includes of the library point in one direction") {
  const Tree tree = headers_of_the_library();
  CHECK(tree.size() > 50);
  for (const std::string& violation : violations(tree)) FAIL_CHECK(violation);
}

TEST_CASE("right arrows pass") {
  const Tree tree = {
      {"core/memory.hpp", "#include <sys/mman.h>\n#include <vector>\n#include \"tessera/core/error.hpp\"\n"},
      {"connect/qformer.hpp", "#include \"tessera/layer/linear.hpp\"\n"},
      {"io/json.hpp", "#include <nlohmann/json.hpp>\n"},
      {"hub/llava.hpp", "#include \"tessera/io/load.hpp\"\n#include \"tessera/model/llava.hpp\"\n"},
      {"tessera.hpp", "#include \"tessera/ops/native.hpp\"\n#include \"tessera/version.hpp\"\n"},
  };
  CHECK(violations(tree).empty());
}

TEST_CASE("every kind of wrong arrow is found") {
  const std::pair<const char*, const char*> wrong_arrows[] = {
      {"core/dims.hpp", "layer/linear.hpp"},
      {"kernel/pack.hpp", "ops/concept.hpp"},
      {"vision/vit.hpp", "connect/concept.hpp"},
      {"connect/qformer.hpp", "language/llama.hpp"},
      {"layer/mlp.hpp", "model/vlm.hpp"},
      {"io/load.hpp", "layer/linear.hpp"},
      {"model/session.hpp", "io/load.hpp"},
      {"model/session.hpp", "ops/onednn.hpp"},
      {"tessera.hpp", "io/json.hpp"},
      {"tessera.hpp", "ops/eigen.hpp"},
      {"core/dims.hpp", "tessera.hpp"},
      {"hub/llava.hpp", "interop/eigen.hpp"},
  };
  for (const auto& [from, to] : wrong_arrows) {
    INFO(from << " includes " << to);
    CHECK(violations({{from, "#include \"tessera/" + std::string(to) + "\"\n"}}).size() == 1);
  }
}

TEST_CASE("libraries, unknown folders and relative includes are found") {
  CHECK(violations({{"core/dims.hpp", "  #  include <nlohmann/json.hpp> // why not\n"}}).size() == 1);
  CHECK(violations({{"io/png.hpp", "#include <jpeglib.h>\n"}}).size() == 1);
  CHECK(violations({{"core/error.hpp", "#include <iostream>\n#include <regex>\n"}}).size() == 2);
  CHECK(violations({{"core/error.hpp", "#include \"dims.hpp\"\n"}}).size() == 1);
  CHECK(violations({{"misc/helpers.hpp", ""}}).size() == 1);
}

#pragma once
/// `tessera scenes`: writes the demo world's images and texts.

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"

#include "../scenes/files.hpp"

namespace tessera::cli {

/// The options as typed.
struct ScenesOptions {
  std::string out;                  ///< --out DIR
  std::size_t count = 100;          ///< --count N, how many samples
  std::uint64_t first = 0;          ///< --first N, number of the first scene
  std::uint64_t seed = 0;           ///< --seed N
  std::string size = "84x84";       ///< --size WxH, in pixels
  std::string objects = "1-3";      ///< --objects MIN-MAX, at most 5
  std::string split = "train";      ///< --split train|test|holdout
  std::vector<std::string> tasks;   ///< --tasks a,b,…: names of scenes::Task; none means all
  int tasks_per_scene = 1;          ///< --tasks-per-scene N
  std::string image_files = "png";  ///< --images png|npy
};

namespace detail {

/// "84x112" or "1-3" as two numbers.
inline std::pair<int, int> parse_pair(std::string_view option, std::string_view text, char separator) {
  const auto number = [](std::string_view digits, int& value) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc() && end == digits.data() + digits.size();
  };
  const std::size_t middle = text.find(separator);
  std::pair<int, int> values;
  if (middle == std::string_view::npos || !number(text.substr(0, middle), values.first) ||
      !number(text.substr(middle + 1), values.second)) {
    fail(option, ": found \"", text, "\", expected two numbers with \"", separator, "\" between");
  }
  return values;
}

/// The enumerator whose name is `text`; `names` are in the enumerators' order.
template <class Enum>
Enum parse_name(std::string_view option, std::string_view text, std::span<const std::string_view> names) {
  const auto found = std::find(names.begin(), names.end(), text);
  if (found == names.end()) {
    std::string expected;
    for (const std::string_view name : names) expected.append(expected.empty() ? "" : ", ").append(name);
    fail(option, ": found \"", text, "\", expected one of ", expected);
  }
  return static_cast<Enum>(found - names.begin());
}

}  // namespace detail

/// Writes the data set and returns the exit code. Throws an Error for options that make no sense or a disk that fails.
inline int run_scenes(const ScenesOptions& options) {
  constexpr std::array<std::string_view, 2> image_files = {"png", "npy"};
  if (options.out.empty()) fail("--out: expected a folder");

  scenes::DatasetOptions dataset;
  dataset.scene.seed = options.seed;
  dataset.scene.split = detail::parse_name<scenes::Split>("--split", options.split, scenes::split_names);
  std::tie(dataset.scene.width, dataset.scene.height) = detail::parse_pair("--size", options.size, 'x');
  std::tie(dataset.scene.min_objects, dataset.scene.max_objects) =
      detail::parse_pair("--objects", options.objects, '-');
  dataset.tasks_per_scene = options.tasks_per_scene;
  if (!options.tasks.empty()) dataset.tasks.clear();
  for (const std::string& task : options.tasks) {
    dataset.tasks.push_back(detail::parse_name<scenes::Task>("--tasks", task, scenes::task_names));
  }
  scenes::write_dataset(dataset, options.first, options.count,
                        detail::parse_name<scenes::ImageFiles>("--images", options.image_files, image_files),
                        options.out);
  return 0;
}

}  // namespace tessera::cli

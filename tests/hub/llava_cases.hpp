#pragma once
// The golden LLaVA cases of tests/data/models.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "tessera/hub/llava.hpp"
#include "tessera/hub/llava_folder.hpp"

namespace tessera::test {

/// For hidden states, features and logits in relative_max_error. Both sides compute in float32 from the same stored
/// weights (16-bit ones are widened exactly), so one bound serves all formats: about ten times the reference's own
/// float32 noise, which case.json records as float32 against float64.
inline constexpr double fidelity_bound = 2e-5;

/// One case: a folder with case.json (prompt, images, answer) and expected.safetensors (the reference's numbers).
struct LlavaCase {
  std::filesystem::path folder;
  io::json about;
  io::SafetensorsFile expected;

  explicit LlavaCase(const std::filesystem::path& f)
      : folder(f), about(io::read_json_file(f / "case.json")), expected(f / "expected.safetensors") {}

  std::string name() const { return folder.filename().string(); }
  std::filesystem::path model() const { return folder / about.value("model_folder", "model"); }
  std::filesystem::path vision_tower() const {
    return about.contains("vision_tower_folder") ? folder / about["vision_tower_folder"].get<std::string>()
                                                 : std::filesystem::path();
  }
  hub::LlavaFolder open() const { return hub::LlavaFolder::open(model(), vision_tower()); }

  /// A tensor of the reference as Ts; empty if the case has none.
  template <class T>
  std::vector<T> tensor(const char* name) const {
    const io::TensorView* view = expected.find(name);
    if (view == nullptr) return {};
    std::vector<T> values(view->data.size() / sizeof(T));
    std::memcpy(values.data(), view->data.data(), view->data.size());
    return values;
  }
  std::vector<int> ids(const char* name) const {
    const std::vector<std::int64_t> wide = tensor<std::int64_t>(name);
    return {wide.begin(), wide.end()};
  }
};

inline std::vector<LlavaCase> llava_cases() {
  std::vector<LlavaCase> cases;
  std::vector<std::filesystem::path> folders;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(TESSERA_TEST_DATA) / "models")) {
    if (std::filesystem::exists(entry.path() / "case.json")) folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  for (const auto& folder : folders) cases.emplace_back(folder);
  return cases;
}

/// max |a − b| / max |b|; infinite if the sizes differ or a number is not finite.
inline double relative_max_error(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return INFINITY;
  double error = 0, largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) return INFINITY;
    error = std::max(error, std::fabs(static_cast<double>(a[i]) - b[i]));
    largest = std::max(largest, std::fabs(static_cast<double>(b[i])));
  }
  return largest > 0 ? error / largest : error;
}

}  // namespace tessera::test

#pragma once
// What covers a patch of a scene, as classes; and the loss of linear heads that are to tell it.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "tessera/core/tensor.hpp"
#include "tessera/train/loss.hpp"

#include "scenes/outline.hpp"
#include "scenes/scene.hpp"

namespace tessera::demo {

/// Number of classes of each attribute: shape, colour, size and place with class 0 for "nothing there", and whether the
/// centre of an object is there.
inline constexpr std::array<int, 5> patch_classes = {
    1 + static_cast<int>(scenes::shape_names.size()), 1 + static_cast<int>(scenes::color_names.size()),
    1 + static_cast<int>(scenes::size_names.size()), 1 + scenes::places_per_side* scenes::places_per_side, 2};
enum PatchAttribute : std::size_t { shape, color, size, place, center };

/// All classes of all attributes side by side.
inline constexpr int patch_scores =
    patch_classes[shape] + patch_classes[color] + patch_classes[size] + patch_classes[place] + patch_classes[center];

/// The class of each attribute, or ignored_label.
using PatchLabels = std::array<int, patch_classes.size()>;

/// Labels of a scene's patches, row after row. A patch belongs to the object whose box covers most of it, or whose
/// centre it has; `attributes(object)` gives the classes of an object's patches.
template <class Attributes>
std::vector<PatchLabels> patch_labels(const scenes::Scene& scene, int patch, Attributes&& attributes) {
  const int columns = scene.width / patch, rows = scene.height / patch;
  const auto patches = static_cast<std::size_t>(columns) * static_cast<std::size_t>(rows);
  std::vector<PatchLabels> labels(patches);
  std::vector<int> most(patches, patch * patch * 15 / 100);  // of its pixels that some object covers; less is nothing
  for (const scenes::Object& object : scene.objects) {
    const scenes::Box box = scenes::Outline(object).box();
    const int center_x = object.x / scenes::units_per_pixel / patch,
              center_y = object.y / scenes::units_per_pixel / patch;
    for (int y = 0; y < rows; ++y) {
      for (int x = 0; x < columns; ++x) {
        const auto overlap = [patch](int low, int high, int index) {
          return std::max(0, std::min(high, (index + 1) * patch) - std::max(low, index * patch));
        };
        const bool has_center = x == center_x && y == center_y;
        const int covered =
            overlap(box.left, box.right, x) * overlap(box.top, box.bottom, y) + (has_center ? patch * patch : 0);
        const auto at = static_cast<std::size_t>(y * columns + x);
        if (covered <= most[at]) continue;
        most[at] = covered;
        labels[at] = attributes(object);
        labels[at][center] = has_center ? 1 : 0;
      }
    }
  }
  return labels;
}

inline PatchLabels all_attributes(const scenes::Object& object) {
  return {1 + static_cast<int>(object.shape), 1 + static_cast<int>(object.color), 1 + static_cast<int>(object.size),
          1 + object.row * scenes::places_per_side + object.column, 0};
}

/// Mean cross entropy for each attribute over the patches that have a label of it, summed over the attributes. Patches
/// of objects weigh more, about as much in all as the empty rest. scores, dscores: [patches, patch_scores]; the
/// gradient is added to dscores.
inline double patch_loss(Mat<const float> scores, std::span<const PatchLabels> labels, Mat<float> dscores) {
  constexpr double weight_of_objects = 6;
  const auto weight_of = [&](const PatchLabels& patch, std::size_t attribute) {
    if (patch[attribute] == ignored_label) return 0.0;
    return patch[size] != 0 ? weight_of_objects : 1.0;
  };
  double loss = 0;
  int first = 0;
  for (std::size_t attribute = 0; attribute < patch_classes.size(); first += patch_classes[attribute++]) {
    const int classes = patch_classes[attribute];
    double total = 0;
    for (const PatchLabels& patch : labels) total += weight_of(patch, attribute);
    for (int row = 0; row < scores.rows; ++row) {
      const PatchLabels& patch = labels[static_cast<std::size_t>(row)];
      const double weight = weight_of(patch, attribute) / total;
      if (weight == 0) continue;
      const float* score = scores.row(row) + first;
      const float largest = *std::max_element(score, score + classes);
      double sum = 0;
      for (int k = 0; k < classes; ++k) sum += std::exp(score[k] - largest);
      for (int k = 0; k < classes; ++k) {
        const double share = std::exp(score[k] - largest) / sum - (k == patch[attribute] ? 1 : 0);
        dscores(row, first + k) += static_cast<float>(weight * share);
      }
      loss += weight * (std::log(sum) + largest - score[patch[attribute]]);
    }
  }
  return loss;
}

}  // namespace tessera::demo

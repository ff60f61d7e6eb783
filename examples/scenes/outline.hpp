#pragma once
/// Where an object is: its outline, which points it covers, and its box. Integer arithmetic only.

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "scene.hpp"

namespace tessera::scenes {

struct Point {
  std::int64_t x = 0;
  std::int64_t y = 0;
};

/// Pixel columns [left, right) and rows [top, bottom).
struct Box {
  int left = 0;
  int top = 0;
  int right = 0;
  int bottom = 0;
};

namespace detail {

/// sin(2π · step / 64) in 1/16384 for the first quarter of a turn. A table, because the library's sine differs between
/// machines in the last bit.
constexpr std::array<std::int64_t, 17> quarter_sine = {0,     1606,  3196,  4756,  6270,  7723,  9102,  10394, 11585,
                                                       12665, 13623, 14449, 15137, 15679, 16069, 16305, 16384};

constexpr std::int64_t sine(int step) {
  constexpr int quarter = rotation_steps / 4;
  step %= rotation_steps;
  if (step >= 2 * quarter) return -sine(step - 2 * quarter);
  return quarter_sine[static_cast<std::size_t>(step <= quarter ? step : 2 * quarter - step)];
}

constexpr std::int64_t cosine(int step) { return sine(step + rotation_steps / 4); }

// Corners of the unrotated shapes, in 1/1024 of the radius.
constexpr std::array<Point, 4> square_corners = {Point{-724, -724}, {724, -724}, {724, 724}, {-724, 724}};
constexpr std::array<Point, 3> triangle_corners = {Point{0, -1024}, {887, 512}, {-887, 512}};
constexpr std::array<Point, 10> star_corners = {Point{0, -1024}, {253, -348}, {974, -316}, {409, 133},   {602, 828},
                                                {0, 430},        {-602, 828}, {-409, 133}, {-974, -316}, {-253, -348}};
constexpr std::array<Point, 12> cross_corners = {Point{-300, -979}, {300, -979}, {300, -300},  {979, -300},
                                                 {979, 300},        {300, 300},  {300, 979},   {-300, 979},
                                                 {-300, 300},       {-979, 300}, {-979, -300}, {-300, -300}};

/// Empty for the round shapes.
constexpr std::span<const Point> corners_of(Shape shape) {
  switch (shape) {
    case Shape::square:
      return square_corners;
    case Shape::triangle:
      return triangle_corners;
    case Shape::star:
      return star_corners;
    case Shape::cross:
      return cross_corners;
    case Shape::circle:
    case Shape::ring:
      return {};
  }
  return {};
}

}  // namespace detail

/// An object's area on the canvas, in units.
class Outline {
 public:
  explicit Outline(const Object& object)
      : center_{object.x, object.y}, outer_(object.radius), inner_(object.shape == Shape::ring ? outer_ * 9 / 16 : 0) {
    const std::int64_t sine = detail::sine(object.rotation);
    const std::int64_t cosine = detail::cosine(object.rotation);
    for (const Point& corner : detail::corners_of(object.shape)) {
      // Shifts of negative numbers round down, in C++20 by definition.
      corners_.push_back({center_.x + ((corner.x * cosine - corner.y * sine) * outer_ >> 24),
                          center_.y + ((corner.x * sine + corner.y * cosine) * outer_ >> 24)});
    }
  }

  bool contains(const Point& point) const {
    if (corners_.empty()) {
      const std::int64_t dx = point.x - center_.x;
      const std::int64_t dy = point.y - center_.y;
      const std::int64_t square = dx * dx + dy * dy;
      return square <= outer_ * outer_ && square >= inner_ * inner_;
    }
    return polygon_contains(point);
  }

  /// The smallest box of whole pixels around the object.
  Box box() const {
    Point low{center_.x - outer_, center_.y - outer_};
    Point high{center_.x + outer_, center_.y + outer_};
    if (!corners_.empty()) {
      low = high = corners_.front();
      for (const Point& corner : corners_) {
        low = {std::min(low.x, corner.x), std::min(low.y, corner.y)};
        high = {std::max(high.x, corner.x), std::max(high.y, corner.y)};
      }
    }
    const auto ceiling = [](std::int64_t units) {
      return static_cast<int>((units + units_per_pixel - 1) / units_per_pixel);
    };
    return {static_cast<int>(low.x / units_per_pixel), static_cast<int>(low.y / units_per_pixel), ceiling(high.x),
            ceiling(high.y)};
  }

 private:
  /// Even-odd rule: counts the edges to the right of the point.
  bool polygon_contains(const Point& point) const {
    bool inside = false;
    Point a = corners_.back();
    for (const Point& b : corners_) {
      if ((a.y > point.y) != (b.y > point.y)) {
        const std::int64_t cross = (b.x - a.x) * (point.y - a.y) - (b.y - a.y) * (point.x - a.x);
        if ((cross > 0) == (b.y > a.y)) inside = !inside;
      }
      a = b;
    }
    return inside;
  }

  Point center_;
  std::int64_t outer_;
  std::int64_t inner_;
  std::vector<Point> corners_;
};

}  // namespace tessera::scenes

#pragma once
/// The small world of the demos: a few coloured shapes on a soft background, as a pure function of (seed, index).

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/image.hpp"

#include "random.hpp"

namespace tessera::scenes {

enum class Shape : std::uint8_t { circle, square, triangle, star, ring, cross };
enum class Color : std::uint8_t { red, green, blue, yellow, purple, orange, cyan, white };
enum class Size : std::uint8_t { small, large };

inline constexpr std::array<std::string_view, 6> shape_names = {"circle", "square", "triangle",
                                                                "star",   "ring",   "cross"};
inline constexpr std::array<std::string_view, 8> color_names = {"red",    "green",  "blue", "yellow",
                                                                "purple", "orange", "cyan", "white"};
inline constexpr std::array<std::string_view, 2> size_names = {"small", "large"};

constexpr std::string_view name_of(Shape shape) { return shape_names[static_cast<std::size_t>(shape)]; }
constexpr std::string_view name_of(Color color) { return color_names[static_cast<std::size_t>(color)]; }
constexpr std::string_view name_of(Size size) { return size_names[static_cast<std::size_t>(size)]; }

/// `train` and `test` draw from the same distribution but share no scene; every scene of `holdout` has an object whose
/// pair of shape and colour is in no scene of the other two.
enum class Split : std::uint8_t { train, test, holdout };

inline constexpr std::array<std::string_view, 3> split_names = {"train", "test", "holdout"};
constexpr std::string_view name_of(Split split) { return split_names[static_cast<std::size_t>(split)]; }

/// One colour for each shape is held out of training.
constexpr bool is_held_out(Shape shape, Color color) {
  constexpr std::array<Color, 6> held_out = {Color::cyan,  Color::purple, Color::white,
                                             Color::green, Color::orange, Color::blue};
  return held_out[static_cast<std::size_t>(shape)] == color;
}

using io::Rgb;

/// Lengths are fixed-point: this many units make a pixel.
inline constexpr int units_per_pixel = 256;
/// Rotations are whole steps of a full turn.
inline constexpr int rotation_steps = 64;
/// The canvas is a grid of 3 × 3 places, and no place holds two objects: "left of" and "above" are never a matter of
/// a pixel.
inline constexpr int places_per_side = 3;

struct Object {
  Shape shape = Shape::circle;
  Color color = Color::red;
  Size size = Size::small;
  int row = 0;  ///< place in the grid, from the top
  int column = 0;
  int x = 0;  ///< centre, in units
  int y = 0;
  int radius = 0;    ///< of the circumscribed circle, in units
  int rotation = 0;  ///< in rotation steps
  Rgb rgb{};
};

/// The background goes from one colour at a corner to another at the opposite corner.
struct Background {
  Rgb from{};
  Rgb to{};
  int horizontal = 128;  ///< share of the gradient that runs along x, in 1/256
  bool from_right = false;
  bool from_bottom = false;
};

struct Scene {
  int width = 0;
  int height = 0;
  Background background;
  std::uint64_t noise_key = 0;
  std::vector<Object> objects;  ///< in raster order of their places
};

struct SceneOptions {
  std::uint64_t seed = 0;
  Split split = Split::train;
  int width = 84;
  int height = 84;
  int min_objects = 1;
  int max_objects = 3;
};

/// Throws when the options allow no scene.
inline void validate(const SceneOptions& options) {
  const auto side_is_good = [](int side) { return side >= 28 && side <= 4096; };
  if (!side_is_good(options.width) || !side_is_good(options.height)) {
    fail("scenes: the size is ", options.width, "x", options.height, ", expected sides from 28 to 4096");
  }
  if (options.min_objects < 1 || options.max_objects > 5 || options.min_objects > options.max_objects) {
    fail("scenes: the number of objects is ", options.min_objects, "-", options.max_objects,
         ", expected a range within 1-5");
  }
}

/// Independent random numbers for each use of a scene, so that another choice of texts leaves the image as it is.
enum class Stream : std::uint8_t { layout, texts };

constexpr Random random_stream(const SceneOptions& options, std::uint64_t index, Stream stream) {
  const auto branch = static_cast<std::uint64_t>(options.split) * 16 + static_cast<std::uint64_t>(stream);
  return Random(mix(mix(options.seed) + branch) ^ index);
}

namespace detail {

constexpr std::array<Rgb, 8> palette = {Rgb{220, 40, 40}, {40, 165, 60},  {40, 75, 220},  {232, 212, 48},
                                        {145, 50, 175},   {238, 138, 30}, {50, 205, 215}, {240, 240, 240}};

inline Rgb jitter(const Rgb& color, int range, Random& random) {
  Rgb result{};
  for (std::size_t channel = 0; channel < result.size(); ++channel) {
    result[channel] = static_cast<std::uint8_t>(std::clamp(color[channel] + random.between(-range, range), 0, 255));
  }
  return result;
}

inline Rgb muted_color(Random& random) {
  const auto grey = static_cast<std::uint8_t>(random.between(70, 130));
  return jitter({grey, grey, grey}, 20, random);
}

/// Kinds are distinct within a scene: "the red circle" means one object.
inline Object draw_kind(Split split, const std::vector<Object>& others, Random& random) {
  const bool wants_held_out = split == Split::holdout && others.empty();
  for (;;) {
    Object object;
    object.shape = static_cast<Shape>(random.below(static_cast<int>(shape_names.size())));
    object.color = static_cast<Color>(random.below(static_cast<int>(color_names.size())));
    const bool held_out = is_held_out(object.shape, object.color);
    if (wants_held_out ? !held_out : held_out && split != Split::holdout) continue;
    const bool taken = std::any_of(others.begin(), others.end(), [&](const Object& other) {
      return other.shape == object.shape && other.color == object.color;
    });
    if (!taken) return object;
  }
}

/// A coordinate in one third of a side: away from its borders by a sixth of the third, and the object inside the
/// canvas.
inline int draw_coordinate(int third, int side, int radius, Random& random) {
  const int width_of_third = side * units_per_pixel / places_per_side;
  const int margin = width_of_third / 6;
  const int low = std::max(third * width_of_third + margin, radius + units_per_pixel);
  const int high = std::min((third + 1) * width_of_third - margin, (side - 1) * units_per_pixel - radius);
  return random.between(low, std::max(low, high));
}

inline bool is_free(const Object& object, const std::vector<Object>& others) {
  return std::none_of(others.begin(), others.end(), [&](const Object& other) {
    const std::int64_t dx = object.x - other.x;
    const std::int64_t dy = object.y - other.y;
    const std::int64_t distance = object.radius + other.radius;
    const bool same_place = object.row == other.row && object.column == other.column;
    return same_place || dx * dx + dy * dy < distance * distance;
  });
}

/// Gives the object a size and a free place, or returns false after some attempts.
inline bool place(Object& object, const SceneOptions& options, const std::vector<Object>& others, Random& random) {
  const int side = std::min(options.width, options.height) * units_per_pixel;
  object.size = random.coin() ? Size::small : Size::large;
  object.radius = object.size == Size::small ? random.between(side * 9 / 100, side * 11 / 100)
                                             : random.between(side * 16 / 100, side * 19 / 100);
  for (int attempt = 0; attempt < 20; ++attempt) {
    object.row = random.below(places_per_side);
    object.column = random.below(places_per_side);
    object.x = draw_coordinate(object.column, options.width, object.radius, random);
    object.y = draw_coordinate(object.row, options.height, object.radius, random);
    if (is_free(object, others)) return true;
  }
  return false;
}

inline std::vector<Object> draw_objects(const SceneOptions& options, Random& random) {
  const int count = random.between(options.min_objects, options.max_objects);
  std::vector<Object> objects;
  while (static_cast<int>(objects.size()) < count) {
    Object object = draw_kind(options.split, objects, random);
    if (!place(object, options, objects, random)) {
      objects.clear();  // several large objects can block each other: begin again
      continue;
    }
    object.rotation = random.below(rotation_steps);
    object.rgb = jitter(palette[static_cast<std::size_t>(object.color)], 12, random);
    objects.push_back(object);
  }
  std::sort(objects.begin(), objects.end(), [](const Object& a, const Object& b) {
    return a.row * places_per_side + a.column < b.row * places_per_side + b.column;
  });
  return objects;
}

}  // namespace detail

/// The scene number `index` of (seed, split): integer arithmetic only, so it is the same everywhere.
inline Scene make_scene(const SceneOptions& options, std::uint64_t index) {
  validate(options);
  Random random = random_stream(options, index, Stream::layout);
  Scene scene;
  scene.width = options.width;
  scene.height = options.height;
  scene.background.from = detail::muted_color(random);
  scene.background.to = detail::muted_color(random);
  scene.background.horizontal = random.between(0, 256);
  scene.background.from_right = random.coin();
  scene.background.from_bottom = random.coin();
  scene.noise_key = random.next();
  scene.objects = detail::draw_objects(options, random);
  return scene;
}

}  // namespace tessera::scenes

#pragma once
/// Scenes to pixels. Integer arithmetic only, so an image is the same bytes on every machine and compiler.

#include <algorithm>
#include <cstdint>

#include "tessera/io/image.hpp"

#include "outline.hpp"
#include "scene.hpp"

namespace tessera::scenes {

namespace detail {

/// Anti-aliasing takes samples × samples points in a pixel.
inline constexpr int samples = 4;

inline void paint_background(const Scene& scene, io::Image& image) {
  const Background& background = scene.background;
  for (int y = 0; y < scene.height; ++y) {
    const int down = 256 * (background.from_bottom ? scene.height - 1 - y : y) / (scene.height - 1);
    std::uint8_t* pixel = image.row(y);
    for (int x = 0; x < scene.width; ++x, pixel += 3) {
      const int across = 256 * (background.from_right ? scene.width - 1 - x : x) / (scene.width - 1);
      const int share = (background.horizontal * across + (256 - background.horizontal) * down) / 256;
      for (std::size_t channel = 0; channel < 3; ++channel) {
        const int from = background.from[channel];
        const int to = background.to[channel];
        pixel[channel] = static_cast<std::uint8_t>((from * (256 - share) + to * share) / 256);
      }
    }
  }
}

/// How many of a pixel's samples the outline covers.
inline int coverage(const Outline& outline, int x, int y) {
  constexpr int step = units_per_pixel / samples;
  int covered = 0;
  for (int sample_y = 0; sample_y < samples; ++sample_y) {
    for (int sample_x = 0; sample_x < samples; ++sample_x) {
      covered += outline.contains(
          {x * units_per_pixel + sample_x * step + step / 2, y * units_per_pixel + sample_y * step + step / 2});
    }
  }
  return covered;
}

inline void paint_object(const Object& object, io::Image& image) {
  constexpr int full = samples * samples;
  const Outline outline(object);
  const Box box = outline.box();
  for (int y = std::max(box.top, 0); y < std::min(box.bottom, image.height); ++y) {
    for (int x = std::max(box.left, 0); x < std::min(box.right, image.width); ++x) {
      const int covered = coverage(outline, x, y);
      std::uint8_t* pixel = image.row(y) + x * 3;
      for (std::size_t channel = 0; channel < 3; ++channel) {
        pixel[channel] = static_cast<std::uint8_t>(
            (pixel[channel] * (full - covered) + object.rgb[channel] * covered + full / 2) / full);
      }
    }
  }
}

/// Adds -7 to 7 to every channel, small differences more often.
inline void add_noise(std::uint64_t key, io::Image& image) {
  Random random(key);
  for (std::size_t pixel = 0; pixel < image.rgb.size(); pixel += 3) {
    std::uint64_t bits = random.next();
    for (std::size_t channel = 0; channel < 3; ++channel, bits >>= 6) {
      const int noise = static_cast<int>(bits & 7) + static_cast<int>(bits >> 3 & 7) - 7;
      image.rgb[pixel + channel] = static_cast<std::uint8_t>(std::clamp(image.rgb[pixel + channel] + noise, 0, 255));
    }
  }
}

}  // namespace detail

inline io::Image render(const Scene& scene) {
  io::Image image = io::filled_image(scene.width, scene.height);
  detail::paint_background(scene, image);
  for (const Object& object : scene.objects) detail::paint_object(object, image);
  detail::add_noise(scene.noise_key, image);
  return image;
}

}  // namespace tessera::scenes

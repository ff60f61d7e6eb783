#pragma once
/// Image resizing that equals Pillow (up to 12.1.1) bit for bit: the published models were trained on its output.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/image.hpp"

namespace tessera::io {

/// Filters with Pillow's numbers, which preprocessor_config.json files use.
enum class Resample { nearest = 0, lanczos = 1, bilinear = 2, bicubic = 3, box = 4, hamming = 5 };

namespace detail {

/// Half the width of a filter in input pixels (output pixels when shrinking).
inline double filter_support(Resample filter) {
  switch (filter) {
    case Resample::box:
      return 0.5;
    case Resample::bicubic:
      return 2.0;
    case Resample::lanczos:
      return 3.0;
    default:
      return 1.0;
  }
}

inline double sinc(double x) { return x == 0.0 ? 1.0 : std::sin(x * std::numbers::pi) / (x * std::numbers::pi); }

/// The filter at distance x from its centre. The order of operations is Pillow's, so that no weight rounds otherwise.
inline double filter_value(Resample filter, double x) {
  if (filter == Resample::box) return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
  if (filter == Resample::lanczos) return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
  x = std::abs(x);
  if (filter == Resample::bicubic) {
    constexpr double a = -0.5;
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
  }
  if (x >= 1.0) return 0.0;
  if (filter == Resample::bilinear) return 1.0 - x;
  if (x == 0.0) return 1.0;  // hamming; its constants are Pillow's single precision ones
  x *= std::numbers::pi;
  return std::sin(x) / x * (0.54f + 0.46f * std::cos(x));
}

constexpr int weight_bits = 22;

/// The inputs `begin` … `begin + weights.size() − 1` of one output pixel; the fixed-point weights sum to about 2²².
struct FilterWindow {
  int begin;
  std::vector<std::int32_t> weights;
};

/// The windows of all output pixels along one axis. Taps outside the image are left out, the others renormalised.
inline std::vector<FilterWindow> filter_windows(int input_size, int output_size, Resample filter) {
  const double scale = static_cast<double>(input_size) / output_size;
  const double filter_scale = std::max(scale, 1.0);
  const double support = filter_support(filter) * filter_scale;
  std::vector<FilterWindow> windows(output_size);
  std::vector<double> values;
  for (int i = 0; i < output_size; ++i) {
    const double centre = (i + 0.5) * scale;
    const int begin = std::max(static_cast<int>(centre - support + 0.5), 0);
    const int end = std::min(static_cast<int>(centre + support + 0.5), input_size);
    double sum = 0;
    values.clear();
    for (int k = begin; k < end; ++k) {
      values.push_back(filter_value(filter, (k - centre + 0.5) * (1.0 / filter_scale)));
      sum += values.back();
    }
    windows[i].begin = begin;
    for (const double value : values) {
      const double weight = (sum != 0.0 ? value / sum : value) * (1 << weight_bits);
      windows[i].weights.push_back(static_cast<std::int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5));
    }
  }
  return windows;
}

constexpr std::int32_t weight_half = 1 << (weight_bits - 1);

inline std::uint8_t to_byte(std::int32_t weighted_sum) {
  return static_cast<std::uint8_t>(std::clamp(weighted_sum >> weight_bits, 0, 255));
}

/// Resizes the rows first_row … first_row + rows − 1 to `width`; row 0 of the result is first_row.
inline Image resize_horizontally(const Image& image, int width, int first_row, int rows, Resample filter) {
  const std::vector<FilterWindow> windows = filter_windows(image.width, width, filter);
  Image resized = filled_image(width, rows);
  for (int y = 0; y < rows; ++y) {
    const std::uint8_t* source = image.row(first_row + y);
    std::uint8_t* target = resized.row(y);
    for (const FilterWindow& window : windows) {
      const std::uint8_t* pixel = source + std::size_t{3} * window.begin;
      std::int32_t red = weight_half, green = weight_half, blue = weight_half;
      for (const std::int32_t weight : window.weights) {
        red += pixel[0] * weight;
        green += pixel[1] * weight;
        blue += pixel[2] * weight;
        pixel += 3;
      }
      *target++ = to_byte(red);
      *target++ = to_byte(green);
      *target++ = to_byte(blue);
    }
  }
  return resized;
}

/// One output row for each window; row 0 of `image` is row `first_row` of the windows' count.
inline Image resize_vertically(const Image& image, const std::vector<FilterWindow>& windows, int first_row) {
  Image resized = filled_image(image.width, static_cast<int>(windows.size()));
  std::vector<std::int32_t> sums(static_cast<std::size_t>(image.width) * 3);
  for (int y = 0; y < resized.height; ++y) {
    std::fill(sums.begin(), sums.end(), weight_half);
    const std::uint8_t* source = image.row(windows[y].begin - first_row);
    for (const std::int32_t weight : windows[y].weights) {
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += source[i] * weight;
      source += sums.size();
    }
    std::transform(sums.begin(), sums.end(), resized.row(y), to_byte);
  }
  return resized;
}

/// Pillow walks with an accumulated step, whose rounding decides some pixels.
inline std::vector<int> nearest_positions(int input_size, int output_size) {
  const double step = static_cast<double>(input_size) / output_size;
  std::vector<int> positions;
  double position = step * 0.5;
  for (int i = 0; i < output_size; ++i, position += step) {
    positions.push_back(std::min(static_cast<int>(position), input_size - 1));
  }
  return positions;
}

inline Image resize_nearest(const Image& image, int width, int height) {
  Image resized = filled_image(width, height);
  const std::vector<int> columns = nearest_positions(image.width, width),
                         rows = nearest_positions(image.height, height);
  for (int y = 0; y < height; ++y) {
    std::uint8_t* target = resized.row(y);
    for (const int column : columns) target = std::copy_n(image.row(rows[y]) + std::size_t{3} * column, 3, target);
  }
  return resized;
}

}  // namespace detail

/// `image` at width × height pixels, equal to Pillow's `image.resize((width, height), filter)`: antialiased, first
/// along the rows, then along the columns, rounded to bytes after each.
inline Image resize(const Image& image, int width, int height, Resample filter) {
  constexpr std::int64_t max_pixels = 1 << 28;
  check_image(image, "resize");
  if (width < 1 || height < 1 || std::int64_t{width} * height > max_pixels) {
    fail("resize: the target is ", width, " x ", height, " pixels, expected 1 to ", max_pixels, " in all");
  }
  if (width == image.width && height == image.height) return image;
  if (filter == Resample::nearest) return detail::resize_nearest(image, width, height);
  if (height == image.height) return detail::resize_horizontally(image, width, 0, height, filter);

  const auto windows = detail::filter_windows(image.height, height, filter);
  if (width == image.width) return detail::resize_vertically(image, windows, 0);
  const int first_row = windows.front().begin;
  const int rows = windows.back().begin + static_cast<int>(windows.back().weights.size()) - first_row;
  return detail::resize_vertically(detail::resize_horizontally(image, width, first_row, rows, filter), windows,
                                   first_row);
}

}  // namespace tessera::io

#pragma once
/// Pictures of training: line charts and heat maps.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/bitmap_font.hpp"
#include "tessera/io/image.hpp"

namespace tessera::io {

/// Points from left to right. One that is not finite (on a logarithmic axis: not positive) leaves a gap.
struct Curve {
  std::string name;
  std::vector<double> x, y;
};

/// Curves over a common axis, e.g. losses over steps.
struct LineChart {
  std::string title = {}, x_label = {}, y_label = {};
  std::vector<Curve> curves = {};
  bool log_y = false;
  /// In [0, 1): with more than 0 each curve is drawn faintly, and over it the curve of running means, in which the
  /// weight of a neighbour falls by this factor with each step away.
  double smoothing = 0;
  int width = 960, height = 600;  ///< pixels
};

/// A table of numbers, one coloured cell for each, e.g. how often the row's answer was expected and the column's given.
/// A cell is as dark as its share of its row's sum.
struct HeatMap {
  std::string title = {}, row_label = {}, column_label = {};
  std::vector<std::string> rows = {}, columns = {};
  std::vector<double> values = {};  ///< row after row, not negative
};

/// Throws an Error for curves whose x and y differ in length, or a picture that is too small or too large.
Image draw(const LineChart& chart);

/// Throws an Error unless there is a value for each row and column.
Image draw(const HeatMap& map);

/// `values` with each replaced by the mean of all, weighted by smoothing^distance: it does not lag behind. Values that
/// are not finite stay and do not count.
inline std::vector<double> smoothed(const std::vector<double>& values, double smoothing) {
  std::vector<double> sums(values.size()), weights(values.size());
  double sum = 0, weight = 0;  // of the values passed
  const auto pass = [&](std::size_t i) {
    sum *= smoothing, weight *= smoothing;
    sums[i] += sum, weights[i] += weight;
    if (std::isfinite(values[i])) sum += values[i], weight += 1;
  };
  for (std::size_t i = 0; i < values.size(); ++i) pass(i);
  sum = weight = 0;
  for (std::size_t i = values.size(); i-- > 0;) pass(i);
  std::vector<double> means = values;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) means[i] = (sums[i] + values[i]) / (weights[i] + 1);
  }
  return means;
}

namespace detail {

/// The palette of Okabe and Ito, which colour-blind people can tell apart.
inline constexpr std::array<Rgb, 7> curve_colours = {
    {{0, 114, 178}, {213, 94, 0}, {0, 158, 115}, {204, 121, 167}, {230, 159, 0}, {86, 180, 233}, {70, 70, 70}}};
inline constexpr Rgb ink = {40, 40, 40}, grid_colour = {228, 228, 228}, frame_colour = {150, 150, 150};
inline constexpr int text_scale = 2, title_scale = 3, gap = 10;

inline constexpr int text_height(int scale) { return glyph_height * scale; }

inline int text_width(std::string_view text, int scale = text_scale) {
  return std::max(0, static_cast<int>(text.size()) * (glyph_width + 1) - 1) * scale;
}

struct Point {
  double x, y;
};

/// A picture to draw on; what lies outside is cut off.
class Canvas {
 public:
  Canvas(int width, int height) : image_(filled_image(width, height, {255, 255, 255})) {}

  Image take() && { return std::move(image_); }

  void blend(int x, int y, Rgb colour, double opacity) {
    if (x < 0 || y < 0 || x >= image_.width || y >= image_.height) return;
    std::uint8_t* pixel = image_.row(y) + std::ptrdiff_t{3} * x;
    for (std::size_t i = 0; i < 3; ++i)
      pixel[i] = static_cast<std::uint8_t>(std::lround(pixel[i] + opacity * (colour[i] - pixel[i])));
  }

  void fill(int left, int top, int width, int height, Rgb colour, double opacity = 1) {
    for (int y = top; y < top + height; ++y) {
      for (int x = left; x < left + width; ++x) blend(x, y, colour, opacity);
    }
  }

  /// Text with its top left corner at (x, y), or turned to the left with its bottom left corner there.
  void text(int x, int y, std::string_view text, int scale = text_scale, bool turned = false, Rgb colour = ink) {
    for (const char c : text) {
      for (int dot_y = 0; dot_y < glyph_height + glyph_descent; ++dot_y) {
        for (int dot_x = 0; dot_x < glyph_width; ++dot_x) {
          if (!glyph_dot(c, dot_x, dot_y)) continue;
          const int right = turned ? dot_y * scale : dot_x * scale,
                    down = turned ? -(dot_x + 1) * scale : dot_y * scale;
          fill(x + right, y + down, scale, scale, colour);
        }
      }
      (turned ? y : x) += (turned ? -1 : 1) * (glyph_width + 1) * scale;
    }
  }

  /// A line through points, smooth at its edges; one that is not a number leaves a gap. All of it is covered once, so
  /// that it may be faint.
  void line(const std::vector<Point>& points, double thickness, Rgb colour, double opacity) {
    std::vector<float> coverage(static_cast<std::size_t>(image_.width) * image_.height, 0.0f);
    for (std::size_t i = 0; i < points.size(); ++i) {
      const bool goes_on = i + 1 < points.size() && !std::isnan(points[i + 1].y);
      if (!std::isnan(points[i].y)) cover(coverage, points[i], points[goes_on ? i + 1 : i], thickness / 2);
    }
    for (int y = 0; y < image_.height; ++y) {
      const float* row = coverage.data() + static_cast<std::size_t>(y) * image_.width;
      for (int x = 0; x < image_.width; ++x) {
        if (row[x] > 0) blend(x, y, colour, opacity * row[x]);
      }
    }
  }

 private:
  void cover(std::vector<float>& coverage, Point a, Point b, double radius) const {
    const int left = std::max(0, static_cast<int>(std::min(a.x, b.x) - radius) - 1);
    const int right = std::min(image_.width - 1, static_cast<int>(std::max(a.x, b.x) + radius) + 1);
    const int top = std::max(0, static_cast<int>(std::min(a.y, b.y) - radius) - 1);
    const int bottom = std::min(image_.height - 1, static_cast<int>(std::max(a.y, b.y) + radius) + 1);
    const double dx = b.x - a.x, dy = b.y - a.y, squared = dx * dx + dy * dy;
    for (int y = top; y <= bottom; ++y) {
      float* row = coverage.data() + static_cast<std::size_t>(y) * image_.width;
      for (int x = left; x <= right; ++x) {
        const double along = squared > 0 ? std::clamp(((x - a.x) * dx + (y - a.y) * dy) / squared, 0.0, 1.0) : 0.0;
        const double distance = std::hypot(x - a.x - along * dx, y - a.y - along * dy);
        row[x] = std::max(row[x], static_cast<float>(std::clamp(radius + 0.5 - distance, 0.0, 1.0)));
      }
    }
  }

  Image image_;
};

/// Values from `low` to `high` and the round numbers between them that are written beside the axis.
struct Axis {
  double low = 0, high = 1;
  bool logarithmic = false;
  std::vector<double> ticks = {};

  /// 0 at the low end, 1 at the high end.
  double place(double value) const {
    return logarithmic ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
  }
};

/// 1, 2 or 5 times a power of ten: the smallest that is not below `size`.
inline double round_step(double size) {
  const double power = std::pow(10, std::floor(std::log10(size)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (size <= factor * power * (1 + 1e-9)) return factor * power;
  }
  return 10 * power;
}

/// An axis for values between `low` and `high` with about `count` ticks. `whole`: it ends at ticks.
inline Axis linear_axis(double low, double high, int count, bool whole) {
  const double least = 1e-9 * std::max({std::abs(low), std::abs(high), 1e-300});
  if (high - low < least) {
    const double margin = low == 0 ? 1 : std::abs(low) / 10;
    low -= margin, high += margin;
  }
  const double step = round_step((high - low) / count);
  auto first = std::ceil(low / step - 1e-6), last = std::floor(high / step + 1e-6);
  if (whole) {
    first = std::floor(low / step + 1e-6), last = std::ceil(high / step - 1e-6);
    low = first * step, high = last * step;
  }
  Axis axis{low, high};
  for (double k = first; k <= last; ++k) axis.ticks.push_back(k * step);
  return axis;
}

/// An axis for positive values that ends at ticks: powers of ten, with 2 and 5 between them while these are few.
inline Axis logarithmic_axis(double low, double high) {
  std::vector<double> candidates;
  const int first = static_cast<int>(std::floor(std::log10(low) + 1e-9));
  const int last = static_cast<int>(std::ceil(std::log10(high) - 1e-9));
  const int stride = std::max(1, (last - first) / 8);
  for (int power = first; power <= last + stride; power += stride) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor == 1.0 || last - first <= 2) candidates.push_back(factor * std::pow(10, power));
    }
  }
  Axis axis{.logarithmic = true};
  const auto end = std::find_if(candidates.begin(), candidates.end(), [&](double x) { return x * (1 + 1e-9) >= high; });
  auto begin = std::find_if(candidates.begin(), end, [&](double x) { return x > low * (1 + 1e-9); });
  if (begin != candidates.begin()) --begin;
  axis.ticks.assign(begin, end + 1);
  if (axis.ticks.size() == 1) axis.ticks.push_back(axis.ticks[0] * 10);
  axis.low = axis.ticks.front(), axis.high = axis.ticks.back();
  return axis;
}

inline std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.5g", std::abs(value) < 1e-300 ? 0.0 : value);
  return text;
}

/// Whether a chart can show the point; larger numbers would overflow in the arithmetic.
inline bool can_draw(double x, double y, bool log_y) {
  constexpr double largest = 1e300;
  return std::abs(x) < largest && std::abs(y) < largest && (!log_y || y > 1 / largest);
}

inline std::pair<Axis, Axis> axes_of(const LineChart& chart) {
  constexpr int tick_distance = 90;  // pixels
  constexpr double none = std::numeric_limits<double>::infinity();
  double x_low = none, x_high = -none, y_low = none, y_high = -none;
  for (const Curve& curve : chart.curves) {
    for (std::size_t i = 0; i < curve.x.size(); ++i) {
      if (!can_draw(curve.x[i], curve.y[i], chart.log_y)) continue;
      x_low = std::min(x_low, curve.x[i]), x_high = std::max(x_high, curve.x[i]);
      y_low = std::min(y_low, curve.y[i]), y_high = std::max(y_high, curve.y[i]);
    }
  }
  if (x_low > x_high) x_low = 0, x_high = 1, y_low = chart.log_y ? 1 : 0, y_high = 10;
  return {
      linear_axis(x_low, x_high, chart.width / tick_distance, false),
      chart.log_y ? logarithmic_axis(y_low, y_high) : linear_axis(y_low, y_high, chart.height / tick_distance, true)};
}

/// The rectangle that curves are drawn in.
struct PlotArea {
  int left, top, width, height;
  Axis x_axis, y_axis;

  Point place(double x, double y) const {
    return {left + x_axis.place(x) * width, top + (1 - y_axis.place(y)) * height};
  }
};

inline void draw_axes(Canvas& canvas, const LineChart& chart, const PlotArea& area) {
  const int bottom = area.top + area.height, right = area.left + area.width;
  for (const double tick : area.y_axis.ticks) {
    const int y = static_cast<int>(std::lround(area.place(area.x_axis.low, tick).y));
    canvas.fill(area.left, y, area.width, 1, grid_colour);
    const std::string label = number_text(tick);
    canvas.text(area.left - gap - text_width(label), y - text_height(text_scale) / 2, label);
  }
  for (const double tick : area.x_axis.ticks) {
    const int x = static_cast<int>(std::lround(area.place(tick, area.y_axis.low).x));
    canvas.fill(x, area.top, 1, area.height, grid_colour);
    const std::string label = number_text(tick);
    canvas.text(x - text_width(label) / 2, bottom + gap, label);
  }
  canvas.fill(area.left, area.top, 1, area.height, frame_colour);
  canvas.fill(area.left, bottom, area.width + 1, 1, frame_colour);
  canvas.text((area.left + right - text_width(chart.title, title_scale)) / 2, gap, chart.title, title_scale);
  canvas.text((area.left + right - text_width(chart.x_label)) / 2, bottom + 2 * gap + text_height(text_scale),
              chart.x_label);
  canvas.text(gap, (area.top + bottom + text_width(chart.y_label)) / 2, chart.y_label, text_scale, true);
}

inline void draw_curve(Canvas& canvas, const PlotArea& area, const std::vector<double>& x, const std::vector<double>& y,
                       double thickness, Rgb colour, double opacity) {
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  std::vector<Point> points;
  for (std::size_t i = 0; i < x.size(); ++i) {
    points.push_back(can_draw(x[i], y[i], area.y_axis.logarithmic) ? area.place(x[i], y[i]) : Point{none, none});
  }
  canvas.line(points, thickness, colour, opacity);
}

inline void draw_legend(Canvas& canvas, const std::vector<Curve>& curves, const PlotArea& area) {
  constexpr int stroke = 24, line_height = 22;
  int width = 0;
  for (const Curve& curve : curves) width = std::max(width, text_width(curve.name));
  if (width == 0) return;
  width += stroke + 3 * gap;
  const int left = area.left + area.width - width - gap, height = static_cast<int>(curves.size()) * line_height + gap;
  canvas.fill(left, area.top + gap, width, height, {255, 255, 255}, 0.85);
  int y = area.top + 2 * gap;
  for (std::size_t i = 0; i < curves.size(); ++i, y += line_height) {
    canvas.fill(left + gap, y + text_height(text_scale) / 2 - 2, stroke, 4, curve_colours[i % curve_colours.size()]);
    canvas.text(left + stroke + 2 * gap, y, curves[i].name);
  }
}

/// White at 0, dark blue at 1.
inline Rgb heat_colour(double share) {
  constexpr Rgb dark = {8, 64, 129};
  Rgb colour;
  for (std::size_t i = 0; i < 3; ++i) colour[i] = static_cast<std::uint8_t>(std::lround(255 + share * (dark[i] - 255)));
  return colour;
}

inline int widest(const std::vector<std::string>& texts) {
  int width = 0;
  for (const std::string& text : texts) width = std::max(width, text_width(text));
  return width;
}

inline std::vector<std::string> cell_texts(const std::vector<double>& values) {
  std::vector<std::string> texts;
  for (const double value : values) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3g", value);
    texts.emplace_back(value == std::floor(value) ? number_text(value) : text);
  }
  return texts;
}

}  // namespace detail

inline Image draw(const LineChart& chart) {
  for (const int side : {chart.width, chart.height}) check_range("a side of the chart", side, 200, 10000);
  if (!(chart.smoothing >= 0 && chart.smoothing < 1))
    fail("chart: smoothing ", chart.smoothing, " found, expected 0 or more and less than 1");
  for (const Curve& curve : chart.curves) {
    if (curve.x.size() != curve.y.size())
      fail("chart: the curve '", curve.name, "' has ", curve.x.size(), " x and ", curve.y.size(), " y");
  }
  using namespace detail;
  const auto [x_axis, y_axis] = axes_of(chart);
  int label_width = 0;
  for (const double tick : y_axis.ticks) label_width = std::max(label_width, text_width(number_text(tick)));
  const int left = 3 * gap + text_height(text_scale) + label_width, top = 3 * gap + text_height(title_scale);
  const PlotArea area{
      left,   top,   chart.width - left - 3 * gap, chart.height - top - 4 * gap - 2 * text_height(text_scale),
      x_axis, y_axis};
  Canvas canvas(chart.width, chart.height);
  draw_axes(canvas, chart, area);
  const bool smooth = chart.smoothing > 0;
  constexpr double thin = 1.2, thick = 2.2, faint = 0.25;
  for (const bool over : {false, true}) {  // all smooth curves lie over all raw ones
    for (std::size_t i = 0; i < chart.curves.size(); ++i) {
      const Curve& curve = chart.curves[i];
      const Rgb colour = curve_colours[i % curve_colours.size()];
      if (!over && smooth) draw_curve(canvas, area, curve.x, curve.y, thin, colour, faint);
      if (!over) continue;
      draw_curve(canvas, area, curve.x, smooth ? smoothed(curve.y, chart.smoothing) : curve.y, thick, colour, 1);
    }
  }
  draw_legend(canvas, chart.curves, area);
  return std::move(canvas).take();
}

inline Image draw(const HeatMap& map) {
  using namespace detail;
  if (map.rows.empty() || map.columns.empty() || map.values.size() != map.rows.size() * map.columns.size())
    fail("heat map: ", map.values.size(), " values for ", map.rows.size(), " rows and ", map.columns.size(),
         " columns");
  const std::vector<std::string> texts = cell_texts(map.values);
  const int line = text_height(text_scale), columns = static_cast<int>(map.columns.size());
  const int cell_height = 36, cell_width = std::max(48, widest(texts) + gap);
  const bool turned = widest(map.columns) + gap > cell_width;
  const int left = 3 * gap + line + widest(map.rows), top = 3 * gap + text_height(title_scale);
  const int bottom = top + cell_height * static_cast<int>(map.rows.size());
  const int label_height = turned ? widest(map.columns) : line;
  const int cells_width = columns * cell_width;
  const int width = std::max(left + cells_width + 2 * gap, text_width(map.title, title_scale) + 2 * gap);

  Canvas canvas(width, bottom + 3 * gap + label_height + line);
  canvas.text((width - text_width(map.title, title_scale)) / 2, gap, map.title, title_scale);
  canvas.text(gap, (top + bottom + text_width(map.row_label)) / 2, map.row_label, text_scale, true);
  canvas.text(left + (cells_width - text_width(map.column_label)) / 2, bottom + 2 * gap + label_height,
              map.column_label);
  for (int column = 0; column < columns; ++column) {
    const std::string& name = map.columns[static_cast<std::size_t>(column)];
    const int middle = left + column * cell_width + cell_width / 2;
    canvas.text(turned ? middle - line / 2 : middle - text_width(name) / 2,
                bottom + gap + (turned ? text_width(name) : 0), name, text_scale, turned);
  }
  for (std::size_t row = 0, i = 0; row < map.rows.size(); ++row) {
    double sum = 0;
    for (std::size_t k = 0; k < map.columns.size(); ++k) sum += std::max(0.0, map.values[i + k]);
    const int y = top + static_cast<int>(row) * cell_height;
    canvas.text(left - gap - text_width(map.rows[row]), y + (cell_height - line) / 2, map.rows[row]);
    for (int column = 0; column < columns; ++column, ++i) {
      const double share = sum > 0 ? std::clamp(map.values[i] / sum, 0.0, 1.0) : 0;
      const int x = left + column * cell_width;
      canvas.fill(x, y, cell_width - 1, cell_height - 1, heat_colour(std::isnan(share) ? 0 : 0.06 + 0.94 * share));
      const Rgb colour = share > 0.5 ? Rgb{255, 255, 255} : map.values[i] == 0 ? frame_colour : ink;
      canvas.text(x + (cell_width - text_width(texts[i])) / 2, y + (cell_height - line) / 2, texts[i], text_scale,
                  false, colour);
    }
  }
  return std::move(canvas).take();
}

}  // namespace tessera::io

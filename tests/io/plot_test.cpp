#include "tessera/io/plot.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "tessera/io/png.hpp"

#include "catch.hpp"

using namespace tessera::io;
using tessera::test::contains;
using Ticks = std::vector<double>;

namespace {

constexpr double no_number = std::numeric_limits<double>::quiet_NaN(),
                 infinity = std::numeric_limits<double>::infinity();

std::size_t count_colour(const Image& image, Rgb colour) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < image.rgb.size(); i += 3) {
    count += image.rgb[i] == colour[0] && image.rgb[i + 1] == colour[1] && image.rgb[i + 2] == colour[2] ? 1 : 0;
  }
  return count;
}

/// The middle of the pixels of a colour, from the left and from the top.
detail::Point middle_of(const Image& image, Rgb colour) {
  double x_sum = 0, y_sum = 0;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const std::uint8_t* pixel = image.row(y) + std::ptrdiff_t{3} * x;
      if (Rgb{pixel[0], pixel[1], pixel[2]} == colour) x_sum += x, y_sum += y;
    }
  }
  const auto count = static_cast<double>(count_colour(image, colour));
  return {x_sum / count, y_sum / count};
}

LineChart falling_losses() {
  LineChart chart{.title = "Loss of stage 1", .x_label = "step", .y_label = "loss", .smoothing = 0.95};
  for (const double level : {0.4, 0.9}) {
    Curve curve{level < 0.5 ? "MLP" : "linear", {}, {}};
    for (int step = 0; step < 1000; ++step) {
      curve.x.push_back(step);
      curve.y.push_back(level + 5 * std::exp(-step / 150.0) + 0.3 * std::sin(step * step * 0.37));
    }
    chart.curves.push_back(curve);
  }
  return chart;
}

}  // namespace

TEST_CASE("Ticks are round numbers", "[plot]") {
  CHECK(detail::linear_axis(0, 10, 6, true).ticks == Ticks{0, 2, 4, 6, 8, 10});
  CHECK(detail::linear_axis(0.3, 4.7, 6, true).ticks == Ticks{0, 1, 2, 3, 4, 5});
  CHECK(detail::linear_axis(0, 1299, 6, false).ticks == Ticks{0, 500, 1000});
  CHECK(detail::linear_axis(3, 3, 6, true).low < 3);
  CHECK(detail::linear_axis(0, 0, 6, true).high > 0);
  CHECK(detail::linear_axis(-2, 2, 6, true).ticks == Ticks{-2, -1, 0, 1, 2});
  CHECK(detail::logarithmic_axis(1, 100).ticks == Ticks{1, 2, 5, 10, 20, 50, 100});
  CHECK(detail::logarithmic_axis(3, 8).ticks == Ticks{2, 5, 10});
  CHECK(detail::logarithmic_axis(1, 1e6).ticks == Ticks{1, 10, 100, 1000, 10000, 100000, 1000000});
  const auto wide = detail::logarithmic_axis(1e-30, 1e30);
  CHECK(wide.ticks.size() < 12);
  CHECK(wide.low <= 1e-30);
  CHECK(wide.high >= 1e30);
  CHECK(detail::logarithmic_axis(5, 5).low < detail::logarithmic_axis(5, 5).high);
}

TEST_CASE("Smoothed curves", "[plot]") {
  CHECK(smoothed({4, 4, 4}, 0.9)[1] == Approx(4));
  const std::vector<double> means = smoothed({1, 3, no_number, 5}, 0.5);
  CHECK(means[0] == Approx((1 + 0.5 * 3 + 0.125 * 5) / 1.625));
  CHECK(means[1] == Approx((0.5 * 1 + 3 + 0.25 * 5) / 1.75));
  CHECK(std::isnan(means[2]));
  CHECK(means[3] == Approx((0.125 * 1 + 0.25 * 3 + 5) / 1.375));
  CHECK(smoothed({1, 2}, 0) == std::vector<double>{1, 2});
  CHECK(smoothed({}, 0.5).empty());
}

TEST_CASE("A curve is where its numbers are", "[plot]") {
  LineChart chart{.curves = {{"", {0, 100}, {7, 7}}, {"", {0, 100}, {0, 10}}}};
  const Rgb flat = detail::curve_colours[0], rising = detail::curve_colours[1];
  const Image image = draw(chart);
  CHECK(image.width == chart.width);
  CHECK(image.height == chart.height);
  // From 0 to 10 the second goes through the middle of the area; the first lies 0.2 of the height above it.
  const auto [flat_x, flat_y] = middle_of(image, flat);
  const auto [middle_x, middle_y] = middle_of(image, rising);
  CHECK(count_colour(image, flat) > 800);
  const double height = (middle_y - flat_y) / 0.2;
  CHECK(height == Approx(481).margin(3));
  CHECK(flat_x == Approx(middle_x).margin(15));

  chart.log_y = true;
  chart.curves = {{"", {0, 100}, {10, 10}}, {"", {0, 100}, {1, 1000}}};
  const Image logarithmic = draw(chart);
  CHECK((middle_of(logarithmic, rising).y - middle_of(logarithmic, flat).y) / height == Approx(-1.0 / 6).margin(0.01));
}

TEST_CASE("Numbers that cannot be drawn leave gaps", "[plot]") {
  for (const bool log_y : {false, true}) {
    LineChart chart{.title = "Title", .log_y = log_y, .smoothing = 0.9};
    CHECK_NOTHROW(draw(chart));
    chart.curves = {{"all bad", {0, 1, 2}, {no_number, infinity, -infinity}}, {"none", {}, {}}};
    CHECK_NOTHROW(draw(chart));
    chart.curves = {{"some", {0, 1, no_number, 3, 4}, {1, no_number, 2, 1e308, 3}}, {"one", {2}, {-5}}};
    CHECK_NOTHROW(draw(chart));
    chart.curves = {{"equal", {5, 5}, {1e-9, 1e-9}}, {"huge", {1e299, -1e299}, {1e299, 1e-299}}};
    CHECK_NOTHROW(draw(chart));
  }
}

TEST_CASE("A heat map's cells are as dark as their shares", "[plot]") {
  HeatMap map{"Answers", "expected", "answered", {"a", "b"}, {"a", "a long name", "c"}, {3, 0, 1, 0, 0, 0}};
  const Image image = draw(map);
  CHECK(count_colour(image, detail::heat_colour(0.06 + 0.94 * 0.75)) > 1000);
  CHECK(count_colour(image, detail::heat_colour(0.06 + 0.94 * 0.25)) > 1000);
  CHECK(count_colour(image, detail::heat_colour(0.06)) > 4000);
  map.values[1] = no_number;
  CHECK_NOTHROW(draw(map));
}

TEST_CASE("Pictures survive a PNG file", "[plot]") {
  const Image image = draw(falling_losses());
  const Image again = decode_png(encode_png(image), "plot");
  CHECK(again.rgb == image.rgb);
  CHECK(count_colour(image, detail::curve_colours[0]) > 1000);
  CHECK(count_colour(image, detail::curve_colours[1]) > 1000);
}

TEST_CASE("Text", "[plot]") {
  CHECK(glyph_dot('T', 0, 0));
  CHECK_FALSE(glyph_dot('T', 0, 1));
  CHECK(glyph_dot('L', 4, 6));
  CHECK(glyph_dot('p', 0, 8));
  CHECK_FALSE(glyph_dot('L', 0, 8));
  CHECK(glyph_dot('\xc3', 1, 0) == glyph_dot('?', 1, 0));
  for (int y = 0; y < glyph_height + glyph_descent; ++y) {
    for (int x = 0; x < glyph_width; ++x) CHECK_FALSE(glyph_dot(' ', x, y));
  }
  CHECK(detail::text_width("abc", 1) == 17);
  CHECK(detail::text_width("", 2) == 0);
}

TEST_CASE("Charts that make no sense are refused", "[plot]") {
  CHECK_THROWS_WITH(draw(LineChart{.curves = {{"c", {1}, {}}}}), contains("'c' has 1 x and 0 y"));
  CHECK_THROWS_WITH(draw(LineChart{.width = 10}), contains("chart is 10, expected 200 to 10000"));
  CHECK_THROWS_WITH(draw(LineChart{.smoothing = 1}), contains("smoothing 1"));
  CHECK_THROWS_WITH(draw(HeatMap{.rows = {"a"}, .columns = {"b"}}), contains("0 values for 1 rows and 1 columns"));
}

#include "scenes/texts.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "catch.hpp"

namespace tessera::scenes {
namespace {

Object make_object(Size size, Color color, Shape shape, int row, int column) {
  Object object;
  object.size = size;
  object.color = color;
  object.shape = shape;
  object.row = row;
  object.column = column;
  return object;
}

/// Red circle top left, orange star in the centre, red ring bottom left.
Scene example() {
  Scene scene;
  scene.objects = {make_object(Size::large, Color::red, Shape::circle, 0, 0),
                   make_object(Size::small, Color::orange, Shape::star, 1, 1),
                   make_object(Size::small, Color::red, Shape::ring, 2, 0)};
  return scene;
}

/// Every question of a task that a scene can give, with its answers.
std::map<std::string, std::set<std::string>> answers(const Scene& scene, Task task) {
  std::map<std::string, std::set<std::string>> found;
  for (std::uint64_t key = 0; key < 3000; ++key) {
    Random random(key);
    for (const Turn& turn : make_turns(scene, Split::train, task, random)) found[turn.question].insert(turn.answer);
  }
  return found;
}

using Answers = std::set<std::string>;

}  // namespace

TEST_CASE("captions name every object in raster order") {
  Random random(1);
  CHECK(make_turns(example(), Split::train, Task::caption, random).front().answer ==
        "a red circle, an orange star and a red ring");
  CHECK(
      make_turns(example(), Split::train, Task::detail, random).front().answer ==
      "a large red circle at the top left, a small orange star in the center and a small red ring at the bottom left");
}

TEST_CASE("a caption reads back as the objects of its scene") {
  const SceneOptions options{.max_objects = 5};
  for (std::uint64_t index = 0; index < 200; ++index) {
    const Scene scene = make_scene(options, index);
    std::vector<Description> expected;
    for (const Object& object : scene.objects) {
      expected.push_back(
          {std::string(name_of(object.size)), std::string(name_of(object.color)), std::string(name_of(object.shape))});
    }
    std::sort(expected.begin(), expected.end());
    Random random(index);
    CHECK(parse_caption(make_turns(scene, Split::train, Task::detail, random).front().answer) == expected);
    for (Description& description : expected) description.size.clear();
    std::sort(expected.begin(), expected.end());
    CHECK(parse_caption(make_turns(scene, Split::train, Task::caption, random).front().answer) == expected);
  }
  CHECK(parse_caption("").empty());
  CHECK(parse_caption("the red blue thing").empty());
}

TEST_CASE("attribute questions ask only for what is unique") {
  const auto found = answers(example(), Task::attribute);
  CHECK(found.at("what color is the circle?") == Answers{"red"});
  CHECK(found.at("which color does the star have?") == Answers{"orange"});
  CHECK(found.at("tell me the color of the ring.") == Answers{"red"});
  CHECK(found.at("what shape is the orange object?") == Answers{"star"});
  CHECK(found.count("what shape is the red object?") == 0);
}

TEST_CASE("counts are right for objects, shapes and colours, absent ones included") {
  const auto found = answers(example(), Task::count);
  CHECK(found.at("how many objects are there?") == Answers{"three"});
  CHECK(found.at("how many red objects do you see?") == Answers{"two"});
  CHECK(found.at("count the stars.") == Answers{"one"});
  CHECK(found.at("how many crosses are there?") == Answers{"zero"});
  CHECK(found.at("count the blue objects.") == Answers{"zero"});
}

TEST_CASE("existence is true, balanced, and never asks for held-out kinds in training") {
  const std::set<std::string> present = {"is there a red circle?", "is there an orange star?", "is there a red ring?"};
  int yes = 0;
  for (std::uint64_t key = 0; key < 3000; ++key) {
    Random random(key);
    const Turn turn = make_turns(example(), Split::train, Task::existence, random).front();
    yes += turn.answer == "yes";
    if (turn.question.starts_with("is there")) REQUIRE((turn.answer == "yes") == (present.count(turn.question) == 1));
    REQUIRE(turn.question.find("cyan circle") == std::string::npos);
    REQUIRE(turn.question.find("green star") == std::string::npos);
  }
  CHECK(yes > 1400);
  CHECK(yes < 1600);
}

TEST_CASE("relations follow the places and have one answer") {
  const auto found = answers(example(), Task::relation);
  CHECK(found.at("what is right of the circle?") == Answers{"the orange star"});
  CHECK(found.at("which object is above the star?") == Answers{"the red circle"});
  CHECK(found.at("what do you see below the orange star?") == Answers{"the red ring"});
  CHECK(found.count("what is left of the star?") == 0);    // two objects are
  CHECK(found.count("what is below the circle?") == 0);    // two objects are
  CHECK(found.count("what is left of the circle?") == 0);  // none is
  Scene single = example();
  single.objects.resize(1);
  CHECK(answers(single, Task::relation).empty());
}

TEST_CASE("sizes are of the object that the phrase means") {
  const auto found = answers(example(), Task::size);
  CHECK(found.at("is the red circle small or large?") == Answers{"large"});
  CHECK(found.at("what size is the ring?") == Answers{"small"});
  CHECK(found.at("tell me the size of the orange object.") == Answers{"small"});
  CHECK(found.count("what size is the red object?") == 0);
}

TEST_CASE("a dialogue stays with its object") {
  std::set<std::size_t> lengths;
  for (std::uint64_t key = 0; key < 200; ++key) {
    Random random(key);
    const std::vector<Turn> turns = make_turns(example(), Split::train, Task::dialogue, random);
    lengths.insert(turns.size());
    for (const Turn& turn : turns) {
      if (turn.question == "what color is it?") {
        CHECK(turn.answer == (turns.front().answer == "star" ? "orange" : "red"));
      }
      if (turn.question == "what size is it?")
        CHECK(turn.answer == (turns.front().answer == "circle" ? "large" : "small"));
    }
  }
  CHECK(lengths == std::set<std::size_t>{2, 3});
}

}  // namespace tessera::scenes

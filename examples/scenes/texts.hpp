#pragma once
/// What can be said about a scene: captions, questions and their true answers.

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "scene.hpp"

namespace tessera::scenes {

/// The kinds of text. `caption` names shapes and colours, `detail` also sizes and places; a `dialogue` has a second and
/// a third turn that only the turns before make clear.
enum class Task : std::uint8_t { caption, detail, attribute, count, existence, relation, size, dialogue };

inline constexpr std::array<std::string_view, 8> task_names = {"caption",   "detail",   "attribute", "count",
                                                               "existence", "relation", "size",      "dialogue"};

constexpr std::string_view name_of(Task task) { return task_names[static_cast<std::size_t>(task)]; }

struct Turn {
  Task task = Task::caption;
  std::string question;
  std::string answer;
};

/// What a text says about one object; parts that it leaves out are empty.
struct Description {
  std::string size;
  std::string color;
  std::string shape;
  auto operator<=>(const Description&) const = default;
};

namespace detail {

template <class... Parts>
std::string join(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

inline std::string plural(Shape shape) { return join(name_of(shape), shape == Shape::cross ? "es" : "s"); }

inline std::string with_article(std::string_view noun) {
  return join(std::string_view("aeiou").find(noun.front()) == std::string_view::npos ? "a " : "an ", noun);
}

inline std::string kind(const Object& object) { return join(name_of(object.color), " ", name_of(object.shape)); }

inline std::string_view place_name(const Object& object) {
  constexpr std::array<std::string_view, 9> names = {"at the top left",    "at the top",    "at the top right",
                                                     "at the left",        "in the center", "at the right",
                                                     "at the bottom left", "at the bottom", "at the bottom right"};
  return names[static_cast<std::size_t>(object.row * places_per_side + object.column)];
}

/// "one, two and three"
inline std::string enumerate(const std::vector<std::string>& items) {
  std::string text = items.front();
  for (std::size_t i = 1; i < items.size(); ++i) text += (i + 1 == items.size() ? " and " : ", ") + items[i];
  return text;
}

inline std::string caption(const Scene& scene, bool detailed) {
  std::vector<std::string> items;
  for (const Object& object : scene.objects) {
    items.push_back(detailed ? join("a ", name_of(object.size), " ", kind(object), " ", place_name(object))
                             : with_article(kind(object)));
  }
  return enumerate(items);
}

template <class Predicate>
int count_if(const Scene& scene, Predicate predicate) {
  return static_cast<int>(std::count_if(scene.objects.begin(), scene.objects.end(), predicate));
}

inline int count_of(const Scene& scene, Shape shape) {
  return count_if(scene, [&](const Object& object) { return object.shape == shape; });
}

inline int count_of(const Scene& scene, Color color) {
  return count_if(scene, [&](const Object& object) { return object.color == color; });
}

template <class Value>
Value draw(std::size_t values, Random& random) {
  return static_cast<Value>(random.below(static_cast<int>(values)));
}

/// "the star", "the red object" or "the red star": one of the phrases that mean this object alone.
inline std::string reference(const Scene& scene, const Object& object, Random& random) {
  std::vector<std::string> phrases = {join("the ", kind(object))};
  if (count_of(scene, object.shape) == 1) phrases.push_back(join("the ", name_of(object.shape)));
  if (count_of(scene, object.color) == 1) phrases.push_back(join("the ", name_of(object.color), " object"));
  return random.pick(phrases);
}

using Phrasings = std::array<std::string, 3>;

inline std::string ask_color(const std::string& noun, Random& random) {
  return random.pick(Phrasings{join("what color is ", noun, "?"), join("which color does ", noun, " have?"),
                               join("tell me the color of ", noun, ".")});
}

inline std::string ask_shape(const std::string& noun, Random& random) {
  return random.pick(Phrasings{join("what shape is ", noun, "?"), join("which shape does ", noun, " have?"),
                               join("tell me the shape of ", noun, ".")});
}

inline std::string ask_size(const std::string& noun, Random& random) {
  return random.pick(Phrasings{join("is ", noun, " small or large?"), join("what size is ", noun, "?"),
                               join("tell me the size of ", noun, ".")});
}

inline Turn make_caption(const Scene& scene, Random& random) {
  return {Task::caption,
          random.pick(Phrasings{"describe the image briefly.", "what is in the image?", "give a short caption."}),
          caption(scene, false)};
}

inline Turn make_detail(const Scene& scene, Random& random) {
  return {Task::detail,
          random.pick(
              Phrasings{"describe the image in detail.", "what is where in the image?", "give a detailed caption."}),
          caption(scene, true)};
}

/// Colour of the only object of a shape, or shape of the only object of a colour.
inline std::optional<Turn> make_attribute(const Scene& scene, Random& random) {
  std::vector<Turn> turns;
  for (const Object& object : scene.objects) {
    if (count_of(scene, object.shape) == 1) {
      turns.push_back({Task::attribute, ask_color(join("the ", name_of(object.shape)), random),
                       std::string(name_of(object.color))});
    }
    if (count_of(scene, object.color) == 1) {
      turns.push_back({Task::attribute, ask_shape(join("the ", name_of(object.color), " object"), random),
                       std::string(name_of(object.shape))});
    }
  }
  if (turns.empty()) return std::nullopt;
  return random.pick(turns);
}

/// How many objects, objects of a shape, or objects of a colour; half of the shapes and colours are present.
inline Turn make_count(const Scene& scene, Random& random) {
  constexpr std::array<std::string_view, 6> numbers = {"zero", "one", "two", "three", "four", "five"};
  const bool present = random.coin();
  const Object& object = random.pick(scene.objects);
  std::string nouns = "objects";
  int count = static_cast<int>(scene.objects.size());
  switch (random.below(3)) {
    case 0: {
      const Shape shape = present ? object.shape : draw<Shape>(shape_names.size(), random);
      nouns = plural(shape);
      count = count_of(scene, shape);
      break;
    }
    case 1: {
      const Color color = present ? object.color : draw<Color>(color_names.size(), random);
      nouns = join(name_of(color), " objects");
      count = count_of(scene, color);
      break;
    }
    default:
      break;
  }
  return {Task::count,
          random.pick(Phrasings{join("how many ", nouns, " are there?"), join("how many ", nouns, " do you see?"),
                                join("count the ", nouns, ".")}),
          std::string(numbers[static_cast<std::size_t>(count)])};
}

/// A kind that is absent but close: an object's kind with another colour or shape. Held-out kinds stay out of training
/// here as well, or "no" would be learnt for them.
inline std::string absent_kind(const Scene& scene, Split split, Random& random) {
  for (;;) {
    Object object = random.pick(scene.objects);
    if (random.coin()) {
      object.color = random.coin() ? random.pick(scene.objects).color : draw<Color>(color_names.size(), random);
    } else {
      object.shape = random.coin() ? random.pick(scene.objects).shape : draw<Shape>(shape_names.size(), random);
    }
    const bool present = count_if(scene, [&](const Object& other) {
                           return other.shape == object.shape && other.color == object.color;
                         }) > 0;
    const bool allowed = split == Split::holdout || !is_held_out(object.shape, object.color);
    if (!present && allowed) return kind(object);
  }
}

/// As many "yes" as "no".
inline Turn make_existence(const Scene& scene, Split split, Random& random) {
  const bool present = random.coin();
  const std::string noun = with_article(present ? kind(random.pick(scene.objects)) : absent_kind(scene, split, random));
  return {Task::existence,
          random.pick(Phrasings{join("is there ", noun, "?"), join("do you see ", noun, "?"),
                                join("does the image show ", noun, "?")}),
          present ? "yes" : "no"};
}

/// What is left of, right of, above or below an object, where that is exactly one object.
inline std::optional<Turn> make_relation(const Scene& scene, Random& random) {
  struct Direction {
    std::string_view phrase;
    int column;
    int row;
  };
  constexpr std::array<Direction, 4> directions = {
      Direction{"left of", -1, 0}, {"right of", 1, 0}, {"above", 0, -1}, {"below", 0, 1}};
  std::vector<Turn> turns;
  for (const Object& object : scene.objects) {
    for (const Direction& direction : directions) {
      std::vector<const Object*> found;
      for (const Object& other : scene.objects) {
        const int along = (other.column - object.column) * direction.column + (other.row - object.row) * direction.row;
        if (along > 0) found.push_back(&other);
      }
      if (found.size() != 1) continue;
      const std::string where = join(direction.phrase, " ", reference(scene, object, random), "?");
      turns.push_back({Task::relation,
                       random.pick(Phrasings{join("what is ", where), join("which object is ", where),
                                             join("what do you see ", where)}),
                       join("the ", kind(*found.front()))});
    }
  }
  if (turns.empty()) return std::nullopt;
  return random.pick(turns);
}

inline Turn make_size(const Scene& scene, Random& random) {
  const Object& object = random.pick(scene.objects);
  return {Task::size, ask_size(reference(scene, object, random), random), std::string(name_of(object.size))};
}

/// Asks for an object by place, then twice about "it".
inline std::vector<Turn> make_dialogue(const Scene& scene, Random& random) {
  const Object& object = random.pick(scene.objects);
  const std::string where(place_name(object));
  std::vector<Turn> turns = {
      {Task::dialogue,
       random.pick(Phrasings{join("what shape is ", where, "?"), join("name the shape ", where, "."),
                             join("which shape do you see ", where, "?")}),
       std::string(name_of(object.shape))},
      {Task::dialogue, ask_color("it", random), std::string(name_of(object.color))},
      {Task::dialogue, ask_size("it", random), std::string(name_of(object.size))}};
  if (random.coin()) std::swap(turns[1], turns[2]);
  if (random.coin()) turns.pop_back();
  return turns;
}

template <std::size_t count>
bool contains(const std::array<std::string_view, count>& names, std::string_view word) {
  return std::find(names.begin(), names.end(), word) != names.end();
}

}  // namespace detail

/// The turns of one task, or none where the scene allows no question of that kind.
inline std::vector<Turn> make_turns(const Scene& scene, Split split, Task task, Random& random) {
  const auto optional = [](std::optional<Turn> turn) {
    return turn ? std::vector<Turn>{*std::move(turn)} : std::vector<Turn>{};
  };
  switch (task) {
    case Task::caption:
      return {detail::make_caption(scene, random)};
    case Task::detail:
      return {detail::make_detail(scene, random)};
    case Task::attribute:
      return optional(detail::make_attribute(scene, random));
    case Task::count:
      return {detail::make_count(scene, random)};
    case Task::existence:
      return {detail::make_existence(scene, split, random)};
    case Task::relation:
      return optional(detail::make_relation(scene, random));
    case Task::size:
      return {detail::make_size(scene, random)};
    case Task::dialogue:
      return detail::make_dialogue(scene, random);
  }
  return {};
}

/// Reads a caption back: one description for each shape that it names, sorted.
inline std::vector<Description> parse_caption(std::string_view caption) {
  std::string words(caption);
  std::replace(words.begin(), words.end(), ',', ' ');
  std::istringstream stream(words);
  std::vector<Description> found;
  Description current;
  for (std::string word; stream >> word;) {
    if (detail::contains(size_names, word)) {
      current = {word, "", ""};
    } else if (detail::contains(color_names, word)) {
      current.color = word;
    } else if (detail::contains(shape_names, word)) {
      current.shape = word;
      found.push_back(current);
      current = {};
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace tessera::scenes

#pragma once
/// config.json → config structs, through each family's `fields(visitor, config)`.

#include <any>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tessera/core/activation.hpp"
#include "tessera/io/json.hpp"

namespace tessera {

/// How a string of a config becomes an activation; families overload this for enumerators of their own.
inline void parse_config_value(std::string_view name, Activation& act) { act = activation_from_name(name); }

}  // namespace tessera

namespace tessera::io {

/// A visitor for `Config::fields` that sets each field from the key of its name. A key that is absent or null leaves
/// the field's default, as the publishers' own files rely on.
class ConfigReader {
 public:
  ConfigReader(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) fail(where_, ": an object is expected here");
  }

  template <class Field>
  void operator()(std::string_view key, Field& field) const {
    static_assert(!std::is_const_v<Field>, "a config that fixes fields derives from the run-time config of its family");
    const auto found = object_.find(key);
    if (found == object_.end() || found->is_null()) return;
    read(*found, where_ + ": " + std::string(key), field);
  }

 private:
  template <class T>
  static void read(const json& value, const std::string& where, T& out) {
    if constexpr (requires(ConfigReader r) { T::fields(r, out); }) {
      T::fields(ConfigReader(value, where), out);
    } else if constexpr (std::is_enum_v<T>) {
      try {
        parse_config_value(json_as<std::string>(value, where), out);
      } catch (const Error& error) {
        fail(where, ": ", error.what());
      }
    } else {
      out = json_as<T>(value, where);
    }
  }

  const json& object_;
  std::string where_;
};

namespace detail {

/// A visitor for `Config::fields` of a config that fixes some fields: takes the others from the run-time config of the
/// family, which lists the same fields in the same order, and compares the fixed ones with it.
class ConfigNarrower {
 public:
  template <class Family>
  ConfigNarrower(const Family& family, const json& object, const std::string& where) : object_(object), where_(where) {
    Family::fields([this](std::string_view, const auto& value) { values_.emplace_back(value); }, family);
  }

  template <class Field>
  void operator()(std::string_view key, Field& field) {
    const auto& value = std::any_cast<const std::remove_const_t<Field>&>(values_.at(next_++));
    if constexpr (!std::is_const_v<Field>) {
      field = value;
    } else if (!(value == field)) {
      if (const auto found = object_.find(key); found != object_.end() && !found->is_null())
        fail(where_, ": ", key, ": the file has ", found->dump(), ", the type fixes ", printable(field));
      fail(where_, ": ", key, ": the file has none, which means ", printable(value), ", the type fixes ",
           printable(field));
    }
  }

 private:
  template <class T>
  static auto printable(const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      return value ? "true" : "false";
    } else if constexpr (std::is_arithmetic_v<T>) {
      return value;
    } else if constexpr (requires { name_of(value); }) {
      return name_of(value);
    } else {
      return "another value";
    }
  }

  const json& object_;
  const std::string& where_;
  std::vector<std::any> values_;
  std::size_t next_ = 0;
};

}  // namespace detail

/// Reads a run-time, fixed or mixed config. `where` names the file in errors. A type that fixes fields (`static
/// constexpr` ones that hide those of its `Family`) accepts only files that mean the same values, be it by leaving a
/// key out.
template <class Config>
void read_config(const json& object, const std::string& where, Config& config) {
  if constexpr (!std::is_same_v<Config, typename Config::Family>) {
    typename Config::Family family;
    read_config(object, where, family);
    Config::fields(detail::ConfigNarrower(family, object, where), config);
  } else {
    Config::fields(ConfigReader(object, where), config);
  }
}

}  // namespace tessera::io

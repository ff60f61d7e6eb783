#pragma once
/// config.json → config structs, through each family's `fields(visitor, config)`.

#include <string>
#include <string_view>
#include <type_traits>

#include "tessera/core/activation.hpp"
#include "tessera/io/json.hpp"

namespace tessera {

/// How a string of a config becomes an activation; families overload this for enumerators of their own.
inline void parse_config_value(std::string_view name, Activation& act) { act = activation_from_name(name); }

}  // namespace tessera

namespace tessera::io {

/// A visitor for `Config::fields`. A key that is absent or null leaves the field's default, as the publishers' own files
/// rely on. A `static constexpr` field is compared with the file instead: a difference is an Error.
class ConfigReader {
 public:
  ConfigReader(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) fail(where_, ": an object is expected here");
  }

  template <class Field>
  void operator()(std::string_view key, Field& field) const {
    const auto found = object_.find(key);
    if (found == object_.end() || found->is_null()) return;
    const std::string where = where_ + ": " + std::string(key);
    std::remove_const_t<Field> value = field;
    read(*found, where, value);
    if constexpr (std::is_const_v<Field>) {
      if (!(value == field)) fail(where, ": the file has ", found->dump(), ", the type fixes ", text_of(field));
    } else {
      field = value;
    }
  }

 private:
  template <class T>
  static std::string text_of(const T& fixed) {
    if constexpr (std::is_arithmetic_v<T>) {
      return json(fixed).dump();
    } else if constexpr (requires { name_of(fixed); }) {
      return std::string(name_of(fixed));
    } else {
      return "another value";
    }
  }

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

/// Reads a run-time, fixed or mixed config. `where` names the file in errors.
template <class Config>
void read_config(const json& object, const std::string& where, Config& config) {
  Config::fields(ConfigReader(object, where), config);
}

}  // namespace tessera::io

#pragma once
// The options that decide how a command computes.

#include <string>

#include "tessera/core/parallel.hpp"
#include "tessera/hub/llava_config.hpp"

namespace CLI {
class App;
}

namespace tessera::cli {

struct RuntimeOptions {
  int threads = default_threads();
  std::string backend = "native";
  std::string isa = "auto";
  std::string dtype = "auto";

  /// --threads and --isa.
  void add_machine_to(CLI::App& command);
  /// These and --dtype.
  void add_to(CLI::App& command);
  /// --backend, for commands that compute.
  void add_backend_to(CLI::App& command);
  /// Applies --isa to the process.
  void apply() const;
  /// The formats to hold weights in: the checkpoint's own unless --dtype says otherwise.
  hub::SlotFormats formats(const hub::SlotFormats& stored) const;
};

}  // namespace tessera::cli

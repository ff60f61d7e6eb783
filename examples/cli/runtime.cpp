#include "cli/runtime.hpp"

#include <CLI/CLI.hpp>

#include "tessera/kernel/isa.hpp"

namespace tessera::cli {

void RuntimeOptions::add_machine_to(CLI::App& command) {
  command.add_option("--threads", threads, "Threads to use")->check(CLI::Range(1, 1024))->capture_default_str();
  command.add_option("--isa", isa, "Highest instruction set to use")
      ->check(CLI::IsMember({"auto", "avx512", "avx2", "scalar"}))
      ->capture_default_str();
}

void RuntimeOptions::add_to(CLI::App& command) {
  add_machine_to(command);
  command.add_option("--dtype", dtype, "Format that weights are held in; auto: the checkpoint's")
      ->check(CLI::IsMember({"auto", "f32", "bf16", "f16"}))
      ->capture_default_str();
}

void RuntimeOptions::add_backend_to(CLI::App& command) {
  command.add_option("--backend", backend, "Who computes")
      ->check(CLI::IsMember({"native", "reference", "onednn", "eigen"}))
      ->capture_default_str();
}

void RuntimeOptions::apply() const {
  if (isa != "auto") cap_isa(isa_from_name(isa));
}

hub::SlotFormats RuntimeOptions::formats(const hub::SlotFormats& stored) const {
  if (dtype == "auto") return stored;
  const DType type = dtype == "bf16" ? DType::bf16 : dtype == "f16" ? DType::f16 : DType::f32;
  return {type, type, type};
}

}  // namespace tessera::cli

#pragma once
// The options that decide how a command computes, and what the paper's name for a model is.

#include <string>

#include <CLI/CLI.hpp>

#include "tessera/core/dtype.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/hub/llava.hpp"
#include "tessera/kernel/isa.hpp"

namespace tessera::cli {

struct RuntimeOptions {
  int threads = default_threads();
  std::string backend = "native";
  std::string isa = "auto";
  std::string dtype = "auto";

  void add_to(CLI::App& command) {
    command.add_option("--threads", threads, "Threads to use")->check(CLI::Range(1, 1024))->capture_default_str();
    command.add_option("--backend", backend, "Who computes")
        ->check(CLI::IsMember({"native", "reference", "onednn", "eigen"}))
        ->capture_default_str();
    command.add_option("--isa", isa, "Highest instruction set to use")
        ->check(CLI::IsMember({"auto", "avx512", "avx2", "scalar"}))
        ->capture_default_str();
    command.add_option("--dtype", dtype, "Format that weights are held in; auto: the checkpoint's")
        ->check(CLI::IsMember({"auto", "f32", "bf16", "f16"}))
        ->capture_default_str();
  }

  /// Applies --isa to the process.
  void apply() const {
    if (isa != "auto") cap_isa(isa_from_name(isa));
  }

  /// The formats to hold weights in: the checkpoint's own unless --dtype says otherwise.
  hub::SlotFormats formats(const hub::SlotFormats& stored) const {
    if (dtype == "auto") return stored;
    const DType type = dtype == "bf16" ? DType::bf16 : dtype == "f16" ? DType::f16 : DType::f32;
    return {type, type, type};
  }
};

/// Calls f with the model type that a LLaVA folder is: the same slots but for the connector.
template <class Config, class F>
auto with_llava_type(const Config& config, F&& f) {
  using Deeper = Vlm<ViT<>, MLPProjector<dyn>, Llama<>, splice::AtImageToken>;
  if (config.projector_depth == 1) return f.template operator()<Llava<>>();
  if (config.projector_depth == 2) return f.template operator()<Llava15<>>();
  return f.template operator()<Deeper>();
}

}  // namespace tessera::cli

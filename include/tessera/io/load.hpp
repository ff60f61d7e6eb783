#pragma once
/// From the tensors of a checkpoint to the weights of a model.

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/params.hpp"
#include "tessera/core/weight_store.hpp"
#include "tessera/format/float_formats.hpp"
#include "tessera/io/checkpoint.hpp"
#include "tessera/io/problem_list.hpp"

namespace tessera::io {

/// How a publisher names the parameters of a model.
struct NameMap {
  /// (our prefix, the file's prefix): the first that a parameter's name begins with is exchanged.
  std::vector<std::pair<std::string, std::string>> prefixes;
  /// Parts of the names of tensors that some files have and the model has no use for.
  std::vector<std::string> ignored;

  /// The tensor of a parameter, or nothing when no prefix fits.
  std::optional<std::string> file_name(const std::string& param) const {
    for (const auto& [ours, theirs] : prefixes) {
      if (param.starts_with(ours)) return theirs + param.substr(ours.size());
    }
    return std::nullopt;
  }
  bool ignores(std::string_view tensor) const {
    return std::any_of(ignored.begin(), ignored.end(),
                       [&](const std::string& part) { return tensor.find(part) != tensor.npos; });
  }
};

/// A checkpoint that holds the parameters whose names its map knows.
struct WeightSource {
  std::string where;  ///< its folder, for errors
  const Checkpoint* checkpoint;
  NameMap names;
};

/// Called with (bytes loaded, bytes in all).
using LoadProgress = std::function<void(std::uint64_t, std::uint64_t)>;

namespace detail {

inline std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i != 0 ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

inline bool is_float_format(DType type) { return type == DType::f32 || type == DType::bf16 || type == DType::f16; }

/// A parameter's tensor and the checkpoint that it lies in.
struct MatchedTensor {
  const TensorView* tensor;
  const Checkpoint* checkpoint;
};

/// What is wrong with a tensor for this weight, or an empty text.
template <class W>
std::string mismatch(const TensorView* tensor, const W& weight) {
  const std::string expected = ", expected " + shape_text(weight.file_shape());
  if (tensor == nullptr) return "is missing" + expected;
  if (tensor->shape != weight.file_shape()) return "has the shape " + shape_text(tensor->shape) + expected;
  if (!is_float_format(tensor->dtype))
    return "has the type " + std::string(name_of(tensor->dtype)) + ", expected f32, bf16 or f16";
  return "";
}

/// Finds every parameter's tensor, or throws one Error that lists all that are missing, misshapen or left over.
template <class Model>
std::vector<MatchedTensor> match(const Model& model, std::span<const WeightSource> sources) {
  std::vector<MatchedTensor> matched;
  std::vector<std::set<std::string, std::less<>>> used(sources.size());
  ProblemList problems;
  for_each_param(
      [&](const std::string& param, const auto& weight) {
        for (std::size_t i = 0; i < sources.size(); ++i) {
          const std::optional<std::string> name = sources[i].names.file_name(param);
          if (!name) continue;
          used[i].insert(*name);
          matched.push_back({sources[i].checkpoint->find(*name), sources[i].checkpoint});
          const std::string problem = mismatch(matched.back().tensor, weight);
          if (!problem.empty()) problems.add("tensor " + in_quotes(*name) + " " + problem);
          return;
        }
        problems.add("parameter " + in_quotes(param) + " has no place in these files");
      },
      model);
  for (std::size_t i = 0; i < sources.size(); ++i) {
    for (const std::string& name : sources[i].checkpoint->names()) {
      if (used[i].contains(name) || sources[i].names.ignores(name)) continue;
      problems.add("tensor " + in_quotes(name) + " is not used by the model");
    }
  }
  problems.throw_if_any(sources.front().where);
  return matched;
}

/// Points one weight at its values: where they lie if the file's format and alignment allow, else at a converted copy.
template <class W>
void attach_row_major(W& weight, const TensorView& tensor, WeightStore& store) {
  const std::byte* data = tensor.data.data();
  const bool aligned = reinterpret_cast<std::uintptr_t>(data) % size_of(tensor.dtype) == 0;
  if (tensor.dtype == weight.dtype() && aligned) return weight.attach(data);
  std::byte* copy = store.allocate(weight.bytes());
  with_format(tensor.dtype, [&]<class From>(From) {
    with_format(weight.dtype(), [&]<class To>(To) { convert_numbers<From, To>(data, weight.size(), copy); });
  });
  weight.attach(copy);
}

}  // namespace detail

/// Loads all parameters of `model`. Strict: tensors that are missing, misshapen or left over are one Error that lists
/// them all, thrown before anything changes. Any float format of the file becomes the weight's. With an Ops that keeps
/// copies, matrices go straight from the file to the Ops. The store and the Ops must outlive the model's use.
template <class Model, class OpsT>
void load_weights(Model& model, std::span<const WeightSource> sources, OpsT& ops, WeightStore& store,
                  const LoadProgress& progress = {}) {
  const std::vector<detail::MatchedTensor> tensors = detail::match(model, sources);
  std::uint64_t total = 0, done = 0;
  for (const detail::MatchedTensor& found : tensors) total += found.tensor->data.size();
  auto next = tensors.begin();
  for_each_param(
      [&]<class W>(const std::string&, W& weight) {
        const auto [tensor, checkpoint] = *next++;
        if constexpr (OpsT::keeps_copies && W::use == WeightUse::matrix) {
          weight.attach(nullptr);
          ops.bind(weight.view(), tensor->dtype, tensor->data.data());
          checkpoint->release(*tensor);
        } else {
          detail::attach_row_major(weight, *tensor, store);
        }
        done += tensor->data.size();
        if (progress) progress(done, total);
      },
      model);
}

}  // namespace tessera::io

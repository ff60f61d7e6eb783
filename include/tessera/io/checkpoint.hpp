#pragma once
/// The weights of a Hugging Face model folder: one safetensors file or several with an index.

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/json.hpp"
#include "tessera/io/problem_list.hpp"
#include "tessera/io/safetensors.hpp"

namespace tessera::io {

/// All tensors of a model folder, mapped. The views point into the checkpoint and live as long as it does (moving the
/// checkpoint keeps them valid).
class Checkpoint {
 public:
  /// Opens, in this order (as transformers does): model.safetensors; the shards that model.safetensors.index.json
  /// lists; the only *.safetensors file. Throws one Error that lists all that is wrong with them.
  static Checkpoint open(const std::filesystem::path& folder);

  /// The tensor, or nullptr when there is none of that name. Throws when its dtype is not one of DType.
  const TensorView* find(std::string_view name) const {
    const auto file = file_of_.find(name);
    return file == file_of_.end() ? nullptr : files_[file->second].find(name);
  }

  /// The names of all tensors, sorted.
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& [name, file] : file_of_) result.push_back(name);
    return result;
  }

  /// Gives back the memory of a tensor that find() returned, once its values are copied elsewhere. The view stays
  /// valid.
  void release(const TensorView& tensor) const { files_[file_of_.at(tensor.name)].release(tensor); }

 private:
  void add_file(const std::filesystem::path& path);
  void add_shards(const std::filesystem::path& index);

  std::vector<SafetensorsFile> files_;
  std::map<std::string, std::size_t, std::less<>> file_of_;
};

namespace detail {

/// The *.safetensors files of a folder, or an Error that says what is there instead.
inline std::filesystem::path only_safetensors_file(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  bool has_pickle = false;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".safetensors")) found.push_back(entry.path());
    has_pickle |= name.starts_with("pytorch_model") && name.ends_with(".bin");
  }
  if (found.size() == 1) return found.front();
  if (found.size() > 1)
    fail(folder.string(), ": ", found.size(),
         " *.safetensors files and no model.safetensors.index.json that names them");
  if (has_pickle)
    fail(folder.string(),
         ": only pytorch_model*.bin found, which is a Python pickle and is not read; convert it with "
         "transformers: model.save_pretrained(folder, safe_serialization=True)");
  fail(folder.string(), ": no weights found, expected model.safetensors or model.safetensors.index.json");
}

// A file name of an index must not lead out of the folder.
inline void check_shard_name(const std::string& name, std::string_view where) {
  if (name.find_first_of(std::string_view("/\\\0", 3)) != name.npos || !name.ends_with(".safetensors"))
    fail(where, ": ", in_quotes(name), " found, expected the name of a *.safetensors file of the same folder");
}

/// The names of the tensors of each shard, from the content of a model.safetensors.index.json.
inline std::map<std::string, std::set<std::string>> tensors_of_shards(const json& root, const std::string& where) {
  const auto weight_map = root.is_object() ? root.find("weight_map") : root.end();
  if (weight_map == root.end() || !weight_map->is_object())
    fail(where, ": the field 'weight_map' is missing or not an object of tensor name to file name");
  std::map<std::string, std::set<std::string>> tensors;
  for (const auto& [tensor, value] : weight_map->items()) {
    const std::string place = where + ": weight_map: tensor " + in_quotes(tensor);
    const auto shard = json_as<std::string>(value, place);
    check_shard_name(shard, place);
    tensors[shard].insert(tensor);
  }
  return tensors;
}

}  // namespace detail

inline Checkpoint Checkpoint::open(const std::filesystem::path& folder) try {
  if (!std::filesystem::is_directory(folder)) fail(folder.string(), ": the model folder is missing or not a folder");
  Checkpoint checkpoint;
  const std::filesystem::path single = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
  if (std::filesystem::exists(single))
    checkpoint.add_file(single);
  else if (std::filesystem::exists(index))
    checkpoint.add_shards(index);
  else
    checkpoint.add_file(detail::only_safetensors_file(folder));
  return checkpoint;
} catch (const std::filesystem::filesystem_error& error) {
  fail(folder.string(), ": cannot be examined: ", error.code().message());
}

inline void Checkpoint::add_file(const std::filesystem::path& path) {
  files_.emplace_back(path);
  for (std::string& name : files_.back().names()) file_of_.emplace(std::move(name), files_.size() - 1);
}

inline void Checkpoint::add_shards(const std::filesystem::path& index) {
  ProblemList problems;
  for (const auto& [shard, mapped] : detail::tensors_of_shards(read_json_file(index), index.string())) {
    try {
      add_file(index.parent_path() / shard);
    } catch (const Error& error) {
      problems.add(error.what());
      continue;
    }
    const std::vector<std::string> stored = files_.back().names();
    std::vector<std::string> lacking, unmapped;
    std::ranges::set_difference(mapped, stored, std::back_inserter(lacking));
    std::ranges::set_difference(stored, mapped, std::back_inserter(unmapped));
    for (const std::string& name : lacking)
      problems.add("tensor " + in_quotes(name) + ": the weight_map expects it in " + shard + ", which lacks it");
    for (const std::string& name : unmapped)
      problems.add("tensor " + in_quotes(name) + ": " + shard +
                   " holds it, but the weight_map does not place it there");
  }
  problems.throw_if_any(index.string());
}

}  // namespace tessera::io

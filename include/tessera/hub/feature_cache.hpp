#pragma once
/// What a frozen tower made of images, so that it looks at each image once.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tessera/core/params.hpp"
#include "tessera/io/mapped_file.hpp"
#include "tessera/io/npy.hpp"

namespace tessera::hub {

/// A 64-bit hash to tell contents apart (FNV-1a over words of 8 bytes). Not for adversaries.
class ContentHash {
 public:
  void add(std::span<const std::byte> bytes) {
    for (; bytes.size() >= sizeof(std::uint64_t); bytes = bytes.subspan(sizeof(std::uint64_t))) {
      std::uint64_t word;
      std::memcpy(&word, bytes.data(), sizeof word);
      mix(word);
    }
    for (const std::byte byte : bytes) mix(std::to_integer<std::uint64_t>(byte));
  }
  template <class T>
  void add_value(const T& value) {
    add(std::as_bytes(std::span(&value, 1)));
  }
  std::uint64_t value() const { return hash_; }

 private:
  void mix(std::uint64_t word) {
    hash_ = (hash_ ^ word) * 0x100000001b3u;
    hash_ ^= hash_ >> 32;
  }
  std::uint64_t hash_ = 0xcbf29ce484222325u;
};

/// The hash of all weights of a part, which lie row by row.
template <class L>
std::uint64_t weights_hash(const L& layer) {
  ContentHash hash;
  for_each_param(
      [&](const std::string&, const auto& weight) {
        hash.add({static_cast<const std::byte*>(weight.data()), weight.bytes()});
      },
      layer);
  return hash.value();
}

/// Rows of features by the content of the image file, in memory up to a limit and, if a folder is given, on disk.
/// `salt` stands for everything else that decides about the features: the tower's weights and the image processing.
/// Safe to use from several threads.
class FeatureCache {
 public:
  FeatureCache(std::uint64_t salt, std::size_t memory_limit, std::filesystem::path folder = {})
      : salt_(salt), memory_limit_(memory_limit), folder_(std::move(folder)) {
    if (!folder_.empty()) io::make_folder(folder_);
  }

  std::uint64_t key(const std::filesystem::path& image) const {
    const io::MappedFile file(image);
    ContentHash hash;
    hash.add_value(salt_);
    hash.add(file.bytes());
    return hash.value();
  }

  /// The `count` numbers stored under a key; nothing if there are none of that count.
  std::optional<std::vector<float>> find(std::uint64_t key, std::size_t count) const {
    {
      const std::lock_guard lock(mutex_);
      const auto found = memory_.find(key);
      if (found != memory_.end() && found->second.size() == count) return found->second;
    }
    if (folder_.empty() || !std::filesystem::exists(file_of(key))) return std::nullopt;
    const io::NpyFile file(file_of(key));
    if (file.array().dtype != DType::f32 || file.array().data.size() != count * sizeof(float)) return std::nullopt;
    std::vector<float> values(count);
    std::memcpy(values.data(), file.array().data.data(), file.array().data.size());
    return values;
  }

  void store(std::uint64_t key, std::span<const float> values) {
    {
      const std::lock_guard lock(mutex_);
      if (memory_used_ + values.size_bytes() <= memory_limit_ &&
          memory_.emplace(key, std::vector<float>(values.begin(), values.end())).second) {
        memory_used_ += values.size_bytes();
      }
    }
    if (folder_.empty()) return;
    io::write_npy(file_of(key), DType::f32, std::array{static_cast<std::int64_t>(values.size())},
                  std::as_bytes(values));
  }

 private:
  std::filesystem::path file_of(std::uint64_t key) const {
    static constexpr char digits[] = "0123456789abcdef";
    std::string name;
    for (int shift = 60; shift >= 0; shift -= 4) name += digits[key >> shift & 15];
    return folder_ / (name + ".npy");
  }

  std::uint64_t salt_;
  std::size_t memory_limit_, memory_used_ = 0;
  std::filesystem::path folder_;
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::vector<float>> memory_;
};

}  // namespace tessera::hub

#pragma once
/// Writing a file so that readers see the old or the whole new one, never a part.

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "tessera/core/error.hpp"

namespace tessera::io {

/// A new file under a temporary name in the target's folder. commit() flushes it to the disk and renames it to the
/// target, which it replaces; without commit() (an exception, a full disk) nothing stays.
class AtomicFile {
 public:
  /// Throws an Error when the folder is missing or not writable, or the target is something else than a file (a
  /// folder, a device: renaming over /dev/null would replace it).
  explicit AtomicFile(std::filesystem::path target) : target_(std::move(target)) {
    std::error_code ignored;
    const std::filesystem::file_status status = std::filesystem::status(target_, ignored);
    if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
      fail(target_.string(), ": cannot be written: exists and is not a regular file");
    static std::atomic<unsigned> counter{0};
    do {
      temporary_ = target_.parent_path() / (".tessera-" + std::to_string(::getpid()) + "-" + std::to_string(counter++));
      descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (descriptor_ < 0 && errno == EEXIST);
    if (descriptor_ < 0) fail_with_errno();
  }

  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() { discard(); }

  /// Appends; throws an Error when the system cannot (a full disk).
  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail_with_errno();
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Makes the target appear. Call once, last.
  void commit() {
    if (::fsync(descriptor_) != 0) fail_with_errno();
    if (::close(std::exchange(descriptor_, -1)) != 0) fail_with_errno();
    if (std::rename(temporary_.c_str(), target_.c_str()) != 0) fail_with_errno();
    temporary_.clear();
    sync_folder();
  }

 private:
  void discard() noexcept {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
  }

  // The rename itself reaches the disk with its folder. Some file systems refuse to sync folders: the data is safe.
  void sync_folder() const {
    const std::filesystem::path folder = target_.has_parent_path() ? target_.parent_path() : ".";
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return;
    ::fsync(descriptor);
    ::close(descriptor);
  }

  // A constructor that throws runs no destructor, but then there is no temporary file yet.
  [[noreturn]] void fail_with_errno() const {
    const int error = errno;
    fail(target_.string(), ": cannot be written: ", std::generic_category().message(error));
  }

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
};

/// Removes what AtomicFiles of killed processes left in a folder.
inline void remove_abandoned_files(const std::filesystem::path& folder) {
  constexpr std::string_view prefix = ".tessera-";
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix)) continue;
    const pid_t owner = static_cast<pid_t>(std::atol(name.c_str() + prefix.size()));
    if (owner > 0 && ::kill(owner, 0) != 0 && errno == ESRCH) std::filesystem::remove(entry.path(), ignored);
  }
}

/// Makes a folder and those above it, unless they are there. Throws Error.
inline void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail(folder.string(), ": the folder cannot be made: ", error.message());
}

}  // namespace tessera::io

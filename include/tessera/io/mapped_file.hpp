#pragma once
/// A file as read-only memory (POSIX mmap).

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tessera/core/error.hpp"

namespace tessera::io {

/// Maps a whole file for reading. Pages are read from the disk when they are first touched. The file must not shrink
/// while it is mapped: the system answers a read beyond its new end with SIGBUS.
class MappedFile {
 public:
  /// Throws an Error that names the file when it is missing, unreadable, not a regular file or empty.
  explicit MappedFile(const std::filesystem::path& path) {
    // O_NONBLOCK: opening a pipe by mistake must fail below instead of waiting for a writer.
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) fail_with_errno(path, "cannot be opened");
    struct CloseOnExit {
      int descriptor;
      ~CloseOnExit() { ::close(descriptor); }
    } const closer{descriptor};

    struct stat status {};
    if (::fstat(descriptor, &status) != 0) fail_with_errno(path, "cannot be examined");
    if (S_ISDIR(status.st_mode)) fail(path.string(), ": is a folder, expected a file");
    if (!S_ISREG(status.st_mode)) fail(path.string(), ": is not a regular file");
    if (status.st_size == 0) fail(path.string(), ": the file is empty");
    const std::size_t size = static_cast<std::size_t>(status.st_size);
    void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (address == MAP_FAILED) fail_with_errno(path, "cannot be mapped");
    bytes_ = {static_cast<const std::byte*>(address), size};
  }

  MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MappedFile() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }

  std::span<const std::byte> bytes() const { return bytes_; }
  /// The same bytes as characters.
  std::string_view text() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }

  /// Gives back the memory of the whole pages inside `part`, a part of bytes(). Only a hint: the bytes stay readable
  /// and are read from the disk again when needed.
  void release(std::span<const std::byte> part) const {
    const std::uintptr_t page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const std::uintptr_t begin = (reinterpret_cast<std::uintptr_t>(part.data()) + page - 1) / page * page;
    const std::uintptr_t end = reinterpret_cast<std::uintptr_t>(part.data() + part.size()) / page * page;
    if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }

 private:
  [[noreturn]] static void fail_with_errno(const std::filesystem::path& path, const char* what) {
    const int error = errno;
    fail(path.string(), ": ", what, ": ", std::generic_category().message(error));
  }

  std::span<const std::byte> bytes_;
};

}  // namespace tessera::io

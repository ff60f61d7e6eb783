#pragma once
// A progress bar on stderr, only where stderr is a terminal. (No C++ progress library is packaged by Debian 12.)

#include <cstdint>
#include <cstdio>
#include <string>

#include <unistd.h>

namespace tessera::cli {

class ProgressBar {
 public:
  ProgressBar(std::string label, bool wanted)
      : label_(std::move(label)), shown_(wanted && isatty(STDERR_FILENO) != 0) {}
  ~ProgressBar() {
    if (drawn_) std::fprintf(stderr, "\r\033[K");
  }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// `note` is shown behind the bar.
  void update(std::uint64_t done, std::uint64_t total, const std::string& note = "") {
    if (!shown_ || total == 0) return;
    const int percent = static_cast<int>(done * 100 / total);
    if (percent == percent_ && note.empty()) return;
    percent_ = percent;
    drawn_ = true;
    const std::string bar(static_cast<std::size_t>(percent) * width / 100, '#');
    std::fprintf(stderr, "\r%s [%-*s] %3d %% %s\033[K", label_.c_str(), width, bar.c_str(), percent, note.c_str());
    std::fflush(stderr);
  }

 private:
  static constexpr int width = 40;
  std::string label_;
  bool shown_;
  bool drawn_ = false;
  int percent_ = -1;
};

}  // namespace tessera::cli

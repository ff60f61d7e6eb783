#pragma once
/// Learning rates over a training run: a linear warm-up, then a decay.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>

#include "tessera/core/error.hpp"

namespace tessera::train {

/// How the rate falls after the warm-up: along half a cosine to 0, in a straight line to 0, or not at all.
enum class Decay { cosine, linear, constant };

/// Names of the enumerators, in their order.
inline constexpr std::array<std::string_view, 3> decay_names = {"cosine", "linear", "constant"};

/// A learning rate for each step. Equal to transformers' `get_{cosine,linear,constant}_schedule_with_warmup` and the
/// Trainer's `warmup_ratio`. The defaults are those of LLaVA's scripts.
struct Schedule {
  Decay decay = Decay::cosine;
  double peak = 1e-3;
  std::int64_t total_steps = 1;
  double warmup_ratio = 0.03;  ///< the warm-up's part of all steps, rounded up to whole steps

  std::int64_t warmup_steps() const {
    return static_cast<std::int64_t>(std::ceil(static_cast<double>(total_steps) * warmup_ratio));
  }

  /// The rate of step 0, 1, …; the first step of a warm-up has rate 0. After the last step a decay stays at its end.
  double rate(std::int64_t step) const {
    const auto warmup = static_cast<double>(warmup_steps()), now = static_cast<double>(step);
    if (now < warmup) return peak * (now / warmup);
    const double decay_steps = std::max(1.0, static_cast<double>(total_steps) - warmup);
    const double done = std::min(1.0, (now - warmup) / decay_steps);
    switch (decay) {
      case Decay::cosine:
        return peak * (0.5 * (1.0 + std::cos(std::numbers::pi * done)));
      case Decay::linear:
        return peak * std::max(0.0, (static_cast<double>(total_steps) - now) / decay_steps);
      case Decay::constant:
        break;
    }
    return peak;
  }
};

/// Throws an Error for a schedule that makes no sense.
inline void validate(const Schedule& schedule) {
  if (!std::isfinite(schedule.peak) || schedule.peak < 0)
    fail("learning rate: ", schedule.peak, " found, expected a number that is not negative");
  if (schedule.total_steps < 1) fail("schedule: ", schedule.total_steps, " steps found, expected at least 1");
  check_range("the warm-up ratio", schedule.warmup_ratio, 0, 1);
}

}  // namespace tessera::train

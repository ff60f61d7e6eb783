#pragma once
/// What the data of training and its losses agree on.

namespace tessera {

/// The label of a token that does not count in the loss (PyTorch's `ignore_index`).
inline constexpr int ignored_label = -100;

}  // namespace tessera

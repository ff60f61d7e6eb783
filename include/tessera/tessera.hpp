#pragma once
/// Models and how they run: all that inference needs with the two backends of our own. Nothing here needs more than a
/// compiler and OpenMP. Opt-in headers: `tessera/training.hpp`; `tessera/io/…` and `tessera/hub/…` (files, images,
/// tokenizers; CMake target tessera::io); `tessera/ops/onednn.hpp`, `tessera/ops/eigen.hpp`; `tessera/interop/…`.

#include "tessera/connect/concat.hpp"
#include "tessera/connect/projector.hpp"
#include "tessera/language/presets.hpp"
#include "tessera/layer/activation.hpp"
#include "tessera/layer/sequential.hpp"
#include "tessera/model/beam_search.hpp"
#include "tessera/model/generate.hpp"
#include "tessera/model/initialize.hpp"
#include "tessera/model/llava.hpp"
#include "tessera/model/session.hpp"
#include "tessera/ops/bind.hpp"
#include "tessera/ops/native.hpp"
#include "tessera/ops/reference.hpp"
#include "tessera/version.hpp"
#include "tessera/vision/presets.hpp"

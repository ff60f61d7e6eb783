#pragma once
/// Everything that needs nothing but a compiler and OpenMP. Opt-in headers: `tessera/io/…` and `tessera/hub/…` (files,
/// images, tokenizers; CMake target tessera::io), `tessera/ops/onednn.hpp`, `tessera/ops/eigen.hpp`,
/// `tessera/interop/…`.

#include "tessera/connect/projector.hpp"
#include "tessera/language/presets.hpp"
#include "tessera/layer/activation.hpp"
#include "tessera/layer/sequential.hpp"
#include "tessera/model/beam_search.hpp"
#include "tessera/model/generate.hpp"
#include "tessera/model/initialize.hpp"
#include "tessera/model/llava.hpp"
#include "tessera/model/session.hpp"
#include "tessera/ops/native.hpp"
#include "tessera/ops/reference.hpp"
#include "tessera/version.hpp"
#include "tessera/vision/presets.hpp"

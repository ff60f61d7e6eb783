#pragma once
/// What training needs besides tessera.hpp: stages, losses, AdamW, schedules, the backends' backward passes, the
/// gradient checker. Nothing here needs more than a compiler and OpenMP.

#include "tessera/layer/frozen.hpp"
#include "tessera/layer/recompute.hpp"
#include "tessera/ops/counted.hpp"
#include "tessera/ops/native_training.hpp"
#include "tessera/ops/reference_training.hpp"
#include "tessera/ops/watched.hpp"
#include "tessera/testing/approx.hpp"
#include "tessera/testing/grad_check.hpp"
#include "tessera/train/adamw.hpp"
#include "tessera/train/contrastive.hpp"
#include "tessera/train/loss.hpp"
#include "tessera/train/order.hpp"
#include "tessera/train/schedule.hpp"
#include "tessera/train/stage.hpp"
#include "tessera/train/step.hpp"
#include "tessera/vision/clip_text.hpp"

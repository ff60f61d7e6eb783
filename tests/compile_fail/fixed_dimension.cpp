// expect: the type fixes a dimension to
#include "tessera/core/dims.hpp"

constexpr tessera::Extent<768> width(WRONG ? 1024 : 768);

#!/usr/bin/env bash
# budget.sh: how long users wait for the compiler. Fails above the budget: 0.5 s to parse the core headers, 15 s and 1 GB
# for a translation unit with a whole model and all kernels at -O2. Time is user time, the best of a few runs.
set -euo pipefail
cd "$(dirname "$0")/../.."
compiler=${CXX:-g++}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
over_budget=0

# measure TITLE RUNS SECONDS MEGABYTES ARGUMENT…: the arguments go to the compiler.
measure() {
  local title=$1 runs=$2 most_seconds=$3 most_megabytes=$4 run
  shift 4
  rm -f "$scratch"/run*
  for run in $(seq "$runs"); do
    command time -f '%U %M' -o "$scratch/run$run" "$compiler" -std=c++20 -fopenmp -Iinclude "$@"
  done
  sort -n "$scratch"/run* | head -1 | awk -v title="$title" -v s="$most_seconds" -v mb="$most_megabytes" '{
    over = $1 > s || $2 / 1024 > mb
    printf "%-36s %6.2f s of %4.1f  %5.0f MB of %4d%s\n", title, $1, s, $2 / 1024, mb, over ? "  OVER BUDGET" : ""
    exit over
  }' || over_budget=1
}

for header in include/tessera/core/*.hpp; do echo "#include \"${header#include/}\""; done >"$scratch/core.cpp"
measure "core headers, parsed" 20 0.5 1024 -fsyntax-only "$scratch/core.cpp"
measure "bench/compile/llava15.cpp, -O2" 5 15 1024 -O2 -c bench/compile/llava15.cpp -o "$scratch/llava15.o"
exit $over_budget

#!/usr/bin/env bash
# budget.sh: how long users wait for the compiler. Fails above the budget: 0.5 s to parse the core headers, 15 s and 1 GB
# for a translation unit with a whole model and all kernels at -O2. Time is user time, the best of three runs. The seconds
# are those of a machine that parses the standard headers behind the core in 0.35 s; a slower one gets up to half as many more.
set -euo pipefail
cd "$(dirname "$0")/../.."
compiler=${CXX:-g++}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
over_budget=0

# best_of_three ARGUMENT…: user seconds and KiB of the compiler.
best_of_three() {
  local run
  for run in 1 2 3; do
    command time -f '%U %M' -o "$scratch/run$run" "$compiler" -std=c++20 -fopenmp -Iinclude "$@"
  done
  sort -n "$scratch"/run? | head -1
}

# measure TITLE SECONDS MEGABYTES ARGUMENT…: the arguments go to the compiler.
measure() {
  local title=$1 most_seconds=$2 most_megabytes=$3
  shift 3
  best_of_three "$@" | awk -v title="$title" -v s="$(awk "BEGIN { print $most_seconds * $slowness }")" -v mb="$most_megabytes" '{
    over = $1 > s || $2 / 1024 > mb
    printf "%-36s %6.2f s of %4.1f  %5.0f MB of %4d%s\n", title, $1, s, $2 / 1024, mb, over ? "  OVER BUDGET" : ""
    exit over
  }' || over_budget=1
}

grep -h '^#include <' include/tessera/core/*.hpp | sort -u | grep -vE 'sys/mman|omp' >"$scratch/std.cpp"
slowness=$(best_of_three -fsyntax-only "$scratch/std.cpp" | awk '{ s = $1 / 0.35; print (s < 1 ? 1 : s > 1.5 ? 1.5 : s) }')
echo "This machine takes $slowness times as long as the budget's"
for header in include/tessera/core/*.hpp; do echo "#include \"${header#include/}\""; done >"$scratch/core.cpp"
measure "core headers, parsed" 0.5 1024 -fsyntax-only "$scratch/core.cpp"
measure "bench/compile/llava15.cpp, -O2" 15 1024 -O2 -c bench/compile/llava15.cpp -o "$scratch/llava15.o"
exit $over_budget

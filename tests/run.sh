#!/usr/bin/env bash
# run.sh: installs what is missing, builds with the default compiler, and runs all tests (minutes, on two cores).
# run.sh --full: then also clang with its sanitizers, the fuzzers, the benchmarks' build, every header alone, the ways of
# using the library from another project, the compile-time budget, folders trained here in transformers (whose Python
# packages it installs in build/), and the quickstart in a clean clone.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-}
[[ $mode == "" || $mode == --full ]] || { echo "usage: tests/run.sh [--full]" >&2; exit 2; }
mkdir -p build
log=build/stage.log

# stage TITLE COMMAND…: runs it (without `set -e`) and prints the time. Its output is shown only if it fails.
stage() {
  local title=$1 start=$SECONDS
  shift
  printf '%-48s' "$title"
  if ("$@") >$log 2>&1 </dev/null; then
    printf '%5d s\n' $((SECONDS - start))
  else
    printf ' FAILED\n'
    tail -n 300 $log
    exit 1
  fi
}

# build FOLDER PRESET TARGET [ARGUMENT…]: the arguments go to CMake.
build() {
  cmake --preset "$2" -B "$1" "${@:4}" && cmake --build "$1" --target "$3" --parallel "$(nproc)"
}

# tests TITLE FOLDER [ARGUMENT…]: the arguments go to ctest, whose verdict is shown.
tests() {
  stage "$1" ctest --test-dir "$2" --parallel "$(nproc)" --output-on-failure "${@:3}"
  grep 'tests passed' $log
}

# Twenty seconds for each fuzzer, from its corpus on. What it finds stays in build/fuzz/found/<name>.
fuzz() {
  local source name found
  for source in tests/fuzz/*_fuzz.cpp; do
    name=$(basename "$source" _fuzz.cpp)
    found=build/fuzz/found/$name
    mkdir -p "$found"
    echo "build/fuzz/tests/${name}_fuzz -max_total_time=20 -timeout=30 -artifact_prefix=$found/" \
      "$found tests/fuzz/corpus/$name"
  done | xargs -P "$(nproc)" -I{} sh -c {}
}

quickstart() {
  rm -rf build/clone && git clone --quiet . build/clone && build/clone/examples/quickstart.sh
}

stage "packages" tests/setup.sh $mode
stage "build" build build/test test tessera_tests
tests "tests" build/test
[[ $mode == --full ]] || exit 0

stage "clang, AddressSanitizer, UBSan: build" build build/asan asan tessera_tests
tests "clang, AddressSanitizer, UBSan: tests" build/asan --exclude-regex '^example'  # minutes, at -O0
stage "fuzzers: build" build build/fuzz fuzz all
stage "fuzzers: 20 s each" fuzz
stage "benchmarks: build" build build/bench release all -DTESSERA_BUILD_BENCH=ON -DTESSERA_BUILD_TESTS=OFF -DTESSERA_BUILD_EXAMPLES=OFF
stage "examples, headers alone: build" build build/test test all -DTESSERA_TEST_HEADERS=ON -DTESSERA_TEST_CONSUMERS=ON
tests "headers alone, other projects" build/test --tests-regex '^(header_self|consumer)'
stage "compile-time budget" bench/compile/budget.sh
cat $log
stage "transformers: environment" tests/reference/environment.sh build/reference-venv
stage "trained folders in transformers" build/reference-venv/bin/python tests/reference/check_trained_folder.py \
  build/test/examples/tessera
grep '"stage"' $log
stage "quickstart in a clean clone" quickstart

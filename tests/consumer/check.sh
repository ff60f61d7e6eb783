#!/usr/bin/env bash
# check.sh WAY SOURCE WORK: installs the library, or uses it in one of the ways that the README shows. SOURCE is the
# repository, WORK a scratch folder.
set -euo pipefail
way=$1 source=$2 work=$3
here=$source/tests/consumer prefix=$work/prefix build=$work/$way
compiler=${CXX:-c++}

rm -rf "$build"
mkdir -p "$build"

configure() { cmake -S "$here/$way" -B "$build" "$@" >"$build/log" 2>&1; }
build_with_cmake() {
  configure "$@" && cmake --build "$build" >>"$build/log" 2>&1 || { cat "$build/log"; exit 1; }
}
# finds MADE [ARGUMENT…]: find_package(tessera ARGUMENT…) makes the components MADE.
finds() {
  rm -f "$build/CMakeCache.txt"
  configure -DCMAKE_PREFIX_PATH="$prefix" -DMADE="$1" -DFOUND_BY="$(IFS=";"; echo "${*:2}")" || { cat "$build/log"; exit 1; }
}
# misses SENTENCE COMPONENT [ARGUMENT…]: find_package(tessera COMPONENTS COMPONENT) stops with the sentence; the arguments
# go to CMake.
misses() {
  rm -f "$build/CMakeCache.txt"
  if configure -DCMAKE_PREFIX_PATH="$prefix" -DFOUND_BY="COMPONENTS;$2" "${@:3}" || ! grep -qF "$1" "$build/log"; then
    echo "find_package(tessera COMPONENTS $2) did not stop with \"$1\":"
    cat "$build/log"
    exit 1
  fi
}
prints_a_number() { [[ $("$@") =~ ^-?[0-9.]+(e-?[0-9]+)?$ ]] || { echo "$* printed no number"; exit 1; }; }
prints_an_error() { [[ $("$@") == *nowhere* ]] || { echo "$* printed no error"; exit 1; }; }

case $way in
  install)  # and moved afterwards, since a package must not remember where it was installed
    cmake -S "$source" -B "$build" -DTESSERA_BUILD_TESTS=OFF -DTESSERA_BUILD_EXAMPLES=OFF >/dev/null
    cmake --install "$build" --prefix "$build/first" >/dev/null
    rm -rf "$prefix"
    mv "$build/first" "$prefix"
    ;;
  find_package)
    misses "tessera has no component nonsense, only io, onednn, eigen, xtensor" nonsense
    misses "tessera::eigen needs Eigen3::Eigen" eigen -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON
    finds "io;eigen" COMPONENTS io OPTIONAL_COMPONENTS eigen nonsense
    finds "io" COMPONENTS io
    finds "io;onednn;eigen;xtensor"
    build_with_cmake
    prints_a_number "$build/consumer"
    prints_an_error "$build/consumer_io"
    ;;
  subdirectory)
    build_with_cmake -DTESSERA_SOURCE="$source"
    prints_a_number "$build/consumer"
    ;;
  fetch_content)
    build_with_cmake -DTESSERA_SOURCE="$source"
    prints_a_number "$build/consumer"
    prints_an_error "$build/consumer_io"
    ;;
  include_only)
    "$compiler" -std=c++20 -fopenmp -I"$source/include" "$here/main.cpp" -o "$build/consumer"
    prints_a_number "$build/consumer"
    ;;
  pkg_config)
    export PKG_CONFIG_PATH=$prefix/share/pkgconfig
    # shellcheck disable=SC2046  # flags are words
    "$compiler" -std=c++20 "$here/main.cpp" -o "$build/consumer" $(pkg-config --cflags --libs tessera)
    "$compiler" -std=c++20 "$here/io.cpp" -o "$build/consumer_io" $(pkg-config --cflags --libs tessera-io)
    prints_a_number "$build/consumer"
    prints_an_error "$build/consumer_io"
    ;;
esac

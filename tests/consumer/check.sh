#!/usr/bin/env bash
# check.sh WAY SOURCE WORK: installs the library, or uses it in one of the ways that the README shows. SOURCE is the
# repository, WORK a scratch folder.
set -euo pipefail
way=$1 source=$2 work=$3
here=$source/tests/consumer prefix=$work/prefix build=$work/$way
compiler=${CXX:-c++}

rm -rf "$build"
mkdir -p "$build"

build_with_cmake() {
  cmake -S "$here/$way" -B "$build" "$@" >"$build/log" && cmake --build "$build" >>"$build/log" || { cat "$build/log"; exit 1; }
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
    build_with_cmake -DCMAKE_PREFIX_PATH="$prefix"
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

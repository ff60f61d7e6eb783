#!/usr/bin/env bash
# setup.sh [--tool | --full]: installs the packages of Debian or Ubuntu that are missing: those of the command-line tool
# with its own backends (--tool), also those of `tests/run.sh`, or also those of `tests/run.sh --full`.
set -euo pipefail
mode=${1:-}

packages=(
  g++ cmake make pkg-config
  nlohmann-json3-dev libjpeg-dev libpng-dev libutf8proc-dev libpcre2-dev # tessera::io
  libcli11-dev
)
[[ $mode == --tool ]] || packages+=(catch2 libdnnl-dev libeigen3-dev libxtensor-dev)
[[ $mode != --full ]] || packages+=(clang libomp-dev libbenchmark-dev git time python3-venv)

if ! command -v apt-get >/dev/null; then
  echo "There is no apt-get here. If the build misses something, install what corresponds to the Debian packages"
  echo "  ${packages[*]}"
  exit 0
fi

installed() { [[ $(dpkg-query -W -f='${Status}' "$1" 2>/dev/null) == "install ok installed" ]]; }

install_missing() {
  local package missing=() as_root=()
  for package; do
    installed "$package" || missing+=("$package")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  [[ $(id -u) == 0 ]] || as_root=(sudo)
  echo "Installing ${missing[*]}"
  "${as_root[@]}" apt-get -qq update
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "${missing[@]}"
}

install_missing "${packages[@]}"
if [[ $mode == --full ]]; then # the sanitizers of clang, whose package has the version in its name
  install_missing "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
fi

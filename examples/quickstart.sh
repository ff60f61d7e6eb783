#!/usr/bin/env bash
# Installs what is missing, builds Tessera, and lets the demo model answer questions about pictures that it has never
# seen: a few scenes, one photograph, then 200 scenes to measure how often it is right.
set -euo pipefail
cd "$(dirname "$0")/.."

tests/setup.sh
echo "== build"
cmake -S . -B build/quickstart -DCMAKE_BUILD_TYPE=Release -DTESSERA_BUILD_TESTS=OFF >/dev/null
cmake --build build/quickstart --target tessera_cli scenes_demo -j"$(nproc)" >/dev/null
exec build/quickstart/examples/scenes_demo examples/models/llava15-scenes examples/photos/red_ball.jpg

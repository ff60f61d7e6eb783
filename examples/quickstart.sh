#!/usr/bin/env bash
# Installs what is missing, builds Tessera, and lets the demo model answer questions about pictures that it has never
# seen: scenes made on the spot, one photograph, and then an exam of 200 scenes.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/quickstart
model=examples/models/llava15-scenes
export OMP_WAIT_POLICY=passive # threads that wait would spin, on cores that something else may need

tests/setup.sh --tool
echo "Building (a minute or two)"
cmake -S . -B $build -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE="-O2 -DNDEBUG" \
  -DTESSERA_BUILD_TESTS=OFF -DTESSERA_ONEDNN=OFF -DTESSERA_EIGEN=OFF >/dev/null
cmake --build $build --parallel "$(nproc)" --target tessera_cli scenes_demo >/dev/null

tessera=$build/examples/tessera
echo && $tessera inspect --model $model --tokens 256
echo && echo "A photograph, $(du -h examples/photos/red_ball.jpg | cut -f1), examples/photos/red_ball.jpg"
for question in "what color is the circle?" "what shape is the red object?" "is there a blue square?"; do
  echo "Q: $question"
  printf 'A: ' && $tessera ask --model $model --image examples/photos/red_ball.jpg --prompt "$question"
done
exec $build/examples/scenes_demo $model

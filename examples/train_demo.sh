#!/usr/bin/env bash
# Trains a small LLaVA-1.5 from nothing, of the shape of examples/models/llava15-scenes: the vision tower by contrastive
# learning and by what covers each patch, the language model on texts alone, then LLaVA-1.5's two stages. About an hour on
# two cores; stop it when you like, the same command goes on. The same bytes come out every time.
#
#     examples/train_demo.sh [--quick] [WORK_FOLDER]
#
# --quick: a thirtieth of the steps (two minutes after the build), enough to see the losses fall.
# WORK_FOLDER (build/train_demo) gets the model in stage2/, accuracy.md, losses.png and confusion.png.
set -euo pipefail
cd "$(dirname "$0")/.."
quick="" divide=1 scenes=150
if [[ ${1:-} == --quick ]]; then
  quick=--quick divide=30 scenes=20
  shift
fi
work=${1:-build/train_demo${quick}}
build=build/quickstart
export OMP_WAIT_POLICY=passive # threads that wait would spin, on cores that something else may need

tests/setup.sh --tool
echo "Building (a few minutes)"
cmake -S . -B $build -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE="-O2 -DNDEBUG" \
  -DTESSERA_BUILD_TESTS=OFF -DTESSERA_ONEDNN=OFF -DTESSERA_EIGEN=OFF >/dev/null
cmake --build $build --parallel "$(nproc)" --target tessera_cli train_demo demo_report >/dev/null

# stage NUMBER MODEL DATA STEPS RATE TEMPLATE
stage() {
  [[ -f $work/stage$1/model.safetensors ]] && return
  echo "Stage $1"
  $build/examples/tessera train --system llava-1.5 --stage "$1" --model "$work/$2" --data "$work/$3" \
    --images "$work" --out "$work/stage$1" --steps $(($4 / divide)) --lr "$5" --template "$6" --batch 32 \
    --image-aspect-ratio square --order given --save-every 100 --resume \
    --log "$work/stage$1.jsonl" --plot "$work/stage$1.png"
}

echo "Scenes, tower, language model"
$build/examples/train_demo --work "$work" --divide $divide
stage 1 start captions.jsonl 400 2e-3 plain
stage 2 stage1 conversations.jsonl 6000 1.5e-3 hf
echo "Right answers in percent, in brackets those of the best guess without the picture"
$build/examples/demo_report "$work/stage2" "$work" $scenes

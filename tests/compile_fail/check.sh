#!/usr/bin/env bash
# check.sh COMPILER INCLUDE SOURCE: the source compiles with WRONG false; with WRONG true it does not, and the first lines
# of the message have every phrase that the source announces as "// expect: …".
set -euo pipefail
compiler=$1 include=$2 source=$3
lines=15

compile() { LC_ALL=C "$compiler" -std=c++20 -fsyntax-only -I"$include" -DWRONG="$1" "$source" 2>&1; }

if ! message=$(compile false); then
  echo "$source does not compile even with WRONG false:"
  echo "$message"
  exit 1
fi
if message=$(compile true); then
  echo "$source compiles with WRONG true"
  exit 1
fi

beginning=$(head -n $lines <<<"$message")
phrases=$(sed -n 's|^// expect: ||p' "$source")
[[ -n $phrases ]] || { echo "$source expects nothing"; exit 1; }
while IFS= read -r phrase; do
  if [[ $beginning != *"$phrase"* ]]; then
    echo "The first $lines lines for $source lack \"$phrase\":"
    echo "$beginning"
    exit 1
  fi
done <<<"$phrases"

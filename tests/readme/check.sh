#!/usr/bin/env bash
# check.sh SOURCE: the README's program is examples/readme.cpp from "// README: begin" to "// README: end", line by line.
set -euo pipefail
source=$1

program=$(sed -n '/^\/\/ README: begin/,/^\/\/ README: end/p' "$source/examples/readme.cpp" | sed '1d;$d')
text=$(sed -n '/^<!-- examples\/readme.cpp -->/,/^```$/p' "$source/README.md" | sed '1,2d;$d')
[[ -n $program ]] || { echo "examples/readme.cpp has no marked part"; exit 1; }
diff <(echo "$program") <(echo "$text") || { echo "README.md and examples/readme.cpp differ"; exit 1; }

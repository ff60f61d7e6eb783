#!/bin/sh
# Regenerates the test data: tests/reference/run.sh [FOLDER FOR THE PYTHON ENVIRONMENT]
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
environment=${1:-$here/../../build/reference-venv}
export PYTHONDONTWRITEBYTECODE=1

[ -x "$environment/bin/python" ] || python3 -m venv "$environment"
"$environment/bin/pip" install --quiet --requirement "$here/requirements.txt"
for generator in "$here"/make_*.py; do
    echo "== $(basename "$generator")"
    "$environment/bin/python" "$generator"
done

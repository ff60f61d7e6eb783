#!/bin/sh
# Regenerates the test data: tests/reference/run.sh [FOLDER FOR THE PYTHON ENVIRONMENT]
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
environment=${1:-$here/../../build/reference-venv}
export PYTHONDONTWRITEBYTECODE=1

"$here/environment.sh" "$environment"
for generator in "$here"/make_*.py; do
    echo "== $(basename "$generator")"
    "$environment/bin/python" "$generator"
done

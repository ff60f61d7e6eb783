#!/bin/sh
# Makes the Python environment of the reference programs: tests/reference/environment.sh FOLDER
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
[ -x "$1/bin/python" ] || python3 -m venv "$1"
"$1/bin/pip" install --quiet --requirement "$here/requirements.txt"

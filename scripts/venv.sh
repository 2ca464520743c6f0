#!/bin/sh
# venv.sh DIR REQUIREMENTS...: a virtual environment with exactly these packages and this project.
set -eu
dir=$1
shift

find_python() {
    for name in python3 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "No Python >= 3.11 was found: install one (Debian: apt-get install python3)." >&2
    exit 1
}

make_venv() {
    "$1" -m venv "$dir" >/dev/null 2>&1 && return
    rm -rf "$dir"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "Installing python3-venv ..." >&2
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            python3-venv >/dev/null
        "$1" -m venv "$dir"
    else
        echo "Python cannot make a virtual environment here: apt-get install python3-venv" >&2
        exit 1
    fi
}

[ -x "$dir/bin/python" ] || make_venv "$(find_python)"
echo "Installing Python packages into $dir ..." >&2
set -- $(printf -- '-r %s ' "$@")
"$dir/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes "$@"
"$dir/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-deps --no-build-isolation --editable .

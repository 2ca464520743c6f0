#!/bin/sh
# lock.sh UV: pin every dependency with its hashes; where they come from stays out of the files.
set -eu
lock() { # lock OUTPUT ARGUMENTS...
    output=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate "$@" --output-file "requirements/$output"
}
uv=$1
lock runtime.txt pyproject.toml --extra postgresql # for the image: writers choose when they start
lock transcode.txt pyproject.toml --extra postgresql --extra transcode \
    -c requirements/runtime.txt
lock build.txt --group build -c requirements/runtime.txt
lock dev.txt pyproject.toml --group dev --group build -c requirements/transcode.txt

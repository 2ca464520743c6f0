#!/bin/sh
# Install the programs that the tests talk to, where that is allowed; say what is missing where not.
set -eu
packages=""
need() { # need PACKAGE FILE: the package is wanted unless the file is there
    [ -e "$2" ] || packages="$packages $1"
}
need dcmtk /usr/bin/storescp
need orthanc /usr/sbin/Orthanc
need orthanc-python /usr/share/orthanc/plugins/libOrthancPython.so
need orthanc-dicomweb /usr/share/orthanc/plugins/libOrthancDicomWeb.so
need faketime /usr/bin/faketime
need strace /usr/bin/strace
[ -z "$packages" ] && exit 0

sudo=""
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then sudo="sudo -n"; else
        echo "Missing peers, their tests will say so: apt-get install$packages" >&2
        exit 0
    fi
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "Missing peers, their tests will say so: install$packages" >&2
    exit 0
fi
echo "Installing$packages ..." >&2
$sudo apt-get update -qq
# shellcheck disable=SC2086 # one word a package
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends \
    $packages >/dev/null

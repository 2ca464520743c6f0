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
need redis-server /usr/bin/redis-server
need nats-server /usr/sbin/nats-server
need postgresql "$(ls /usr/lib/postgresql/*/bin/postgres 2>/dev/null | tail -n 1)"
need rabbitmq-server /usr/lib/rabbitmq/bin/rabbitmq-server
need faketime /usr/bin/faketime
need strace /usr/bin/strace
need gcc /usr/bin/cc
need libc6-dev /usr/include/stdio.h
need openssl /usr/bin/openssl
need haproxy /usr/sbin/haproxy
need curl /usr/bin/curl
need odil /usr/bin/odil
need ctn /usr/bin/send_image
need libgdcm-tools /usr/bin/gdcmscu
need libpixelmed-java /usr/share/java/pixelmed.jar
need default-jre-headless /usr/bin/java
need nodejs /usr/bin/node
need npm /usr/bin/npm
need docker-compose /usr/bin/docker-compose

install_packages() {
    sudo=""
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then sudo="sudo -n"; else
            echo "Missing peers, their tests will say so: apt-get install$packages" >&2
            return
        fi
    fi
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "Missing peers, their tests will say so: install$packages" >&2
        return
    fi
    echo "Installing$packages ..." >&2
    $sudo apt-get update -qq
    # shellcheck disable=SC2086 # one word a package
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends \
        $packages >/dev/null
}

install_dcmjs() { # from npm, as the lock file has it, hashes and all
    here=$(cd "$(dirname "$0")/.." && pwd)
    lock="$here/tests/interop/programs/package-lock.json"
    cache="$here/.cache/npm"
    cmp -s "$lock" "$cache/node_modules/.installed" && return
    if ! command -v npm >/dev/null 2>&1; then
        echo "Missing peer, its tests will say so: dcmjs-dimse needs npm" >&2
        return
    fi
    echo "Installing dcmjs-dimse ..." >&2
    mkdir -p "$cache"
    cp "$here/tests/interop/programs/package.json" "$lock" "$cache"
    if npm ci --prefix "$cache" --ignore-scripts --no-audit --no-fund --silent >/dev/null; then
        cp "$lock" "$cache/node_modules/.installed"
    else
        echo "Missing peer, its tests will say so: npm could not install dcmjs-dimse" >&2
    fi
}

[ -z "$packages" ] || install_packages
install_dcmjs

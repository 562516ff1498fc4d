#!/bin/sh
# Installs the foreign peers into DIR: npm smpp as DIR/node_modules, PyPI smpplib and pycmpp in the virtual environment
# DIR/venv.
# Versions are pinned. What is there already is left alone. Exits 1 where npm, python3 or their registries are missing.
set -eu
dir=${1:?usage: setup.sh DIR}
mkdir -p "$dir"

if ! [ -e "$dir/npm.done" ]; then
    npm install --prefix "$dir" --no-audit --no-fund --no-save --ignore-scripts \
        --fetch-retries 1 --fetch-timeout 20000 smpp@0.5.1
    touch "$dir/npm.done"
fi
if ! [ -e "$dir/pip.done" ]; then
    python3 -m venv "$dir/venv"
    "$dir/venv/bin/pip" install --quiet --disable-pip-version-check --retries 1 --timeout 20 smpplib==2.2.4
    touch "$dir/pip.done"
fi
if ! [ -e "$dir/pycmpp.done" ]; then
    "$dir/venv/bin/pip" install --quiet --disable-pip-version-check --retries 1 --timeout 20 pycmpp==2.0.2
    touch "$dir/pycmpp.done"
fi

#!/usr/bin/env bash
# Sets up .venv: the pinned requirements and this package, editable. `make` calls it; it can be run again at any time.
# PYTHON chooses the interpreter; without it the first of python3.12, 3.11, 3.10 and python3 that works is taken.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() {
    echo "mmrefine: $*" >&2
    exit 1
}

usable() { # a version manager may leave a command of that name that runs nothing, a distribution one without venv
    "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        usable "$PYTHON" || fail "PYTHON=$PYTHON is not a working Python 3.10, 3.11 or 3.12 with the venv module"
        echo "$PYTHON"
        return
    fi
    for candidate in python3.12 python3.11 python3.10 python3; do
        if usable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "found no Python 3.10, 3.11 or 3.12 with the venv module; install one or name it: make PYTHON=/path/to/python"
}

install() { # install WHAT PIP-ARGUMENTS...
    local what=$1
    shift
    .venv/bin/python -m pip install --disable-pip-version-check "$@" ||
        fail "could not download or install $what; check the network and the free disk space (8 GB) and run make again"
}

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "[1/4] .venv with $("$python" --version)"
    "$python" -m venv --clear .venv || fail "could not make .venv; check the free disk space and run make again"
fi
echo '[2/4] PyTorch and the OpenMMLab packages (about 3 GB to download, minutes)'
install 'the pinned requirements' -r requirements/pinned.txt
# It requires the headless OpenCV, which would overwrite the installed one.
install 'the metrics of salient objects' --no-deps pysodmetrics==1.6.2
install 'mim' --no-deps openmim==0.3.9 model-index==0.1.11
echo '[3/4] SAM 2'
SAM2_BUILD_CUDA=0 install 'sam2' --no-build-isolation -r requirements/sam2.txt
echo '[4/4] mmrefine'
install 'mmrefine' --no-deps --no-build-isolation --editable .

if ! .venv/bin/python -c 'import cv2' 2>/dev/null; then
    echo 'OpenCV finds no display libraries here: its headless build takes its place'
    .venv/bin/python -m pip uninstall --yes opencv-python opencv-python-headless # they share their files
    install 'opencv-python-headless' "opencv-python-headless==$(sed -n 's/^opencv-python==//p' requirements/pinned.txt)"
fi
.venv/bin/python -c 'import cv2, mmengine, mmrefine, torchvision' ||
    fail 'the packages are installed but do not import; remove .venv and run make again'

#!/usr/bin/env bash
# Builds the optional second convolution engine, MinkowskiEngine 0.5.4 (CPU), into the active virtual environment.
# About five minutes on two cores. Needs g++ and OpenBLAS (Debian/Ubuntu: apt-get install g++ libopenblas-dev).
set -euo pipefail

VERSION=0.5.4
python="${PYTHON:-python}"

fail() {
    echo "error: $*" >&2
    exit 2
}

command -v "$python" >/dev/null || fail "no $python on PATH; activate the virtual environment first"
"$python" -c 'import sys; sys.exit(sys.prefix == sys.base_prefix)' \
    || fail "$("$python" -c 'import sys; print(sys.executable)') is in no virtual environment; activate one first"
"$python" -c 'import torch, numpy' 2>/dev/null \
    || fail "torch and numpy must be installed in this environment before: the build is tied to torch's version"
command -v g++ >/dev/null || fail "no g++; install a C++ compiler (Debian: apt-get install g++)"
echo '#include <cblas.h>' | g++ -E -x c++ - >/dev/null 2>&1 \
    || echo '#include <openblas/cblas.h>' | g++ -E -x c++ - >/dev/null 2>&1 \
    || fail "no OpenBLAS headers; install them (Debian: apt-get install libopenblas-dev)"
"$python" - <<'EOF' || fail "no Python headers; install them (Debian: apt-get install python3-dev)"
import pathlib, sys, sysconfig
sys.exit(not pathlib.Path(sysconfig.get_paths()["include"], "Python.h").exists())
EOF

if "$python" -m pip --version >/dev/null 2>&1; then
    install() { "$python" -m pip install "$@"; }
elif command -v uv >/dev/null; then
    install() { uv pip install --python "$("$python" -c 'import sys; print(sys.executable)')" "$@"; }
else
    fail "neither pip nor uv is available for this environment"
fi

# setuptools 81 dropped what the package's search for BLAS needs (numpy.distutils); 0.5.4 has no wheels.
install "setuptools<81" wheel ninja
# Its CUDA sources do not compile with current toolkits: hide the GPU, so that the CPU part alone is built.
export CUDA_VISIBLE_DEVICES=""
export MAX_JOBS="${MAX_JOBS:-$(nproc)}"
install --no-build-isolation --no-deps "MinkowskiEngine==$VERSION"

# The package imports names that left `collections` in Python 3.10; the engine restores one before it imports it.
"$python" - <<'EOF'
import collections, collections.abc
collections.Sequence = collections.abc.Sequence
import MinkowskiEngine
print(f"MinkowskiEngine {MinkowskiEngine.__version__} is ready")
EOF

# Sourced from the top of the checkout: makes .venv with camkit in it, and does nothing where that has been done.
# Takes the name of an extra of pyproject.toml ("dev": what the tests need), or "".

extra=$1
stamp=".venv/.camkit-$extra-$(cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)"
if [ ! -e "$stamp" ]; then
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "camkit needs Python 3.11 or newer" >&2; exit 1; }
    echo "setting up .venv: about 1.5 GB of disk, mostly torch …" >&2
    [ -x .venv/bin/python ] || python3 -m venv .venv
    # torch first, by its exact version: left to choose, pip may take a build with gigabytes of CUDA libraries.
    .venv/bin/pip install --quiet --constraint constraints.txt torch==2.13.0
    .venv/bin/pip install --quiet --constraint constraints.txt --editable ".${extra:+[$extra]}"
    # The second CRF engine is C++: without a compiler camkit's own does alone.
    if command -v c++ >/dev/null && ! .venv/bin/pip install --quiet --constraint constraints.txt pydensecrf2 2>/dev/null; then
        echo "pydensecrf2 could not be built; going on without it" >&2
    fi
    touch "$stamp"
fi

#!/usr/bin/env bash
# Sets up .venv where there is none, then checks style and types and runs every test. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
source examples/setup.sh dev

.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/python -m compileall -q camkit  # once, also where PYTHONDONTWRITEBYTECODE keeps processes from doing it
cores=$(.venv/bin/python -c 'import os; print(min(os.cpu_count() or 1, 4))')
.venv/bin/python -m pytest --numprocesses "$cores" --dist worksteal "$@"

"""How the CRF's inner loops become machine code: by numba, once per machine, kept on disk for the next process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

inlined: Any = njit(error_model="numpy")
"""Of a part of a kernel: compiled with the kernel that calls it."""


def kernel(signature: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile for these types alone, to run without the interpreter lock.

    A change to a function of another file does not make numba compile anew: what a kernel calls stands beside it.
    """

    def compile(function: Callable[..., Any]) -> Callable[..., Any]:
        options: Any = {"nogil": True, "error_model": "numpy"}
        try:
            compiled: Callable[..., Any] = njit(signature, cache=True, **options)(function)
        except RuntimeError:  # neither the package's folder nor the user's cache can be written
            compiled = njit(signature, **options)(function)
        return compiled

    return compile

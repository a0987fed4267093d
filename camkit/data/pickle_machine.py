"""The stack machine of pickle, with the operations that data needs and none that could run code."""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np

from camkit.data.pickle_objects import TYPES, Damaged, Global, Refused, of_type, set_state
from camkit.data.reading import reason

_MAX_COPIED_BYTES = 4 << 30
_COPIED = (str, bytes, bytearray, list)
_MARK = object()
_HASHABLE = (str, int, float, bytes, type(None), np.generic)
_VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
}  # fmt: skip
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "MARK": lambda: _MARK,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = ("PROTO", "FRAME", "STOP")


class Interpreter:
    """The stack machine of pickle, operation by operation. A global is only a name, which `rebuild` looks up."""

    def __init__(
        self,
        stream: IO[bytes],
        rebuild: Mapping[str, Callable[..., Any]],
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        self.stream = stream
        self.rebuild = rebuild
        self.persistent = persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0

    def run(self) -> Any:
        for opcode, argument, _ in pickletools.genops(self.stream):
            self._step(opcode.name, argument)
        if len(self.stack) != 1:
            raise Damaged("it does not end with one object")
        return self.stack[0]

    def _step(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _TUPLES:
            count = _TUPLES[name]
            self.stack[-count:] = [tuple(self.stack[-count:])]
        elif name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name not in _IGNORED:
            self._operate(name, argument)

    def _operate(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in ("TUPLE", "LIST", "DICT", "FROZENSET"):
            stack.append(_collect(name, self._pop_to_mark()))
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else self._pop_to_mark()
            of_type(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else self._pop_to_mark()
            of_type(stack[-1], dict).update(_pairs(items))
        elif name == "ADDITEMS":
            items = self._pop_to_mark()
            of_type(stack[-1], set).update(_hashable(items))
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            module_and_name = argument.split(" ", 1) if name == "GLOBAL" else [stack.pop(-2), stack.pop()]
            stack.append(self._global(*module_and_name))
        elif name == "REDUCE":
            arguments, function = stack.pop(), of_type(stack.pop(), Global)
            self._account_for(of_type(arguments, tuple))
            stack.append(self.rebuild[function.name](*arguments))
        elif name == "BUILD":
            state = stack.pop()
            set_state(stack[-1], state)
        elif name == "BINPERSID" and self.persistent:
            stack.append(self.persistent(stack.pop()))
        elif name == "POP":
            stack.pop()
        elif name in ("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4"):
            raise Refused(" ".join(str(argument or name).split())[:80].replace(" ", "."))
        else:
            raise Damaged(f"it uses the operation {name}, which data has no use for")

    def _global(self, module: str, name: str) -> Global:
        full = f"{module}.{name}".replace("numpy._core.", "numpy.core.").replace("__builtin__.", "builtins.")
        if full not in self.rebuild and full not in TYPES:
            raise Refused(reason(ValueError(f"{module}.{name}"))[:80])
        return Global(full)

    def _account_for(self, arguments: tuple[Any, ...]) -> None:
        """A small pickle may have one large object copied again and again."""
        self.copied += sum(len(argument) for argument in arguments if isinstance(argument, _COPIED))
        if self.copied > _MAX_COPIED_BYTES:
            raise Damaged("it grows beyond all measure")

    def _pop_to_mark(self) -> list[Any]:
        for start in range(len(self.stack) - 1, -1, -1):
            if self.stack[start] is _MARK:
                items = self.stack[start + 1 :]
                del self.stack[start:]
                return items
        raise Damaged("a mark is missing")


def _collect(name: str, items: list[Any]) -> Any:
    if name == "DICT":
        return dict(_pairs(items))
    if name == "FROZENSET":
        return frozenset(_hashable(items))
    return tuple(items) if name == "TUPLE" else items


def _pairs(items: list[Any]) -> zip[tuple[Any, Any]]:
    return zip(_hashable(items[::2]), items[1::2], strict=True)


def _hashable(items: list[Any]) -> list[Any]:
    """Hashing nested tuples takes exponential time, or all of the stack: keys are plain values."""
    if not all(isinstance(item, _HASHABLE) for item in items):
        raise Damaged("a key is neither text nor number")
    return items

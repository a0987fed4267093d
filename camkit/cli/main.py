"""The command `camkit`. A command's file is imported when it is called for, and torch when it runs: help is instant."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import keyword
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from camkit import memory, signals
from camkit.cli.commandline import Command
from camkit.cli.mistakes import CommandLineError, no_command, told
from camkit.cli.streams import close_streams, open_streams, tell
from camkit.errors import CamkitError, OutputError, UsageError
from camkit.text import lines_of

COMMANDS = (
    "demo", "masks", "classify", "classify-train", "cam", "infercam", "dcsm", "lpcam-cluster", "lpcam-apply",
    "icd-train", "icd-apply", "affinity-train", "irn-train", "segment-train", "segment", "crf", "superpixels",
    "refine", "mask", "evaluate", "show", "review", "info", "merge", "import", "export", "toy-world",
)  # fmt: skip
INTERRUPTED = 130


class CommandGroup(TyperGroup):
    """Finds a command in the file of its name; one with METHODS is a group of those, each in a file of its own."""

    names: Sequence[str] = COMMANDS
    within = ""
    lists = False

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.lists = True
        super().format_help(ctx, formatter)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.names and not args[0].startswith("-"):
            raise UsageError(no_command(args[0], self.names, ctx.command_path))
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.names)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.names:
            return None
        name = f"camkit.cli.{module_of(self.within + cmd_name)}"
        if self.lists:
            return TyperCommand(cmd_name, help=summary_of(name))
        module = importlib.import_module(name)
        if hasattr(module, "METHODS"):
            return group_of_methods(cmd_name, module.METHODS, module.__doc__)
        single = typer.Typer(add_completion=False, **LOOK)
        command = guarded(module.command)
        kind = type("OneCommand", (Command,), {"asked": inspect.signature(command).parameters})
        single.command(cmd_name, cls=kind)(command)
        return typer.main.get_command(single)


def summary_of(module: str) -> str:
    """The first line of a command's help, or of a file that has no command; the file is not imported, to be quick."""
    spec = importlib.util.find_spec(module)
    source = Path(spec.origin).read_text(encoding="utf-8") if spec is not None and spec.origin else ""
    _, _, after = source.rpartition("\ndef command(")
    return after.partition('"""')[2].partition("\n")[0]


def module_of(command: str) -> str:
    """`import` is a word of Python's."""
    return command.replace("-", "_") + ("_" if keyword.iskeyword(command) else "")


def group_of_methods(name: str, methods: Sequence[str], about: str | None) -> Any:
    kind = type("MethodGroup", (CommandGroup,), {"names": methods, "within": f"{name}_"})
    group = typer.Typer(name=name, cls=kind, add_completion=False, subcommand_metavar="METHOD [ARGS]...", **LOOK)

    @group.callback(help=about)
    def choose() -> None: ...

    return typer.main.get_command(group)


LOOK: Any = {"no_args_is_help": True, "rich_markup_mode": "rich", "pretty_exceptions_enable": False}

app = typer.Typer(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]}, **LOOK)


@app.callback(invoke_without_command=True)
def camkit(
    version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
) -> None:
    """From image tags to segmentation masks, one small step per command.

    Commands hand each other HDF5 stores, by name or through a pipe:

    camkit cam --ckpt resnet50.pth --images voc/ | camkit mask | camkit evaluate --gt voc/
    """
    if version:
        from importlib.metadata import version as version_of

        print(f"camkit {version_of('camkit')}")
        raise typer.Exit


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """The one place where an exception becomes a message and an exit code."""
    from camkit.cli.console import set_up_logging
    from camkit.cli.groups import gathered, signature_of
    from camkit.cli.options import common

    def call(**options: Any) -> None:
        debug = options["debug"]
        set_up_logging(quiet=options["quiet"], verbose=options["verbose"])
        if not debug:
            warnings.simplefilter("ignore")  # libraries about damaged EXIF tags and the like; errors are told by us
        try:
            given = options["max_memory"]
            memory.set_budget(None if given is None else memory.parse(memory.OPTION, given))
            with signals.interrupting():
                command(**gathered(command, options))
        except CamkitError as error:
            leave(str(error), error.exit_code, debug)
        except KeyboardInterrupt:
            leave("interrupted; the same command continues what was on its way to a file", INTERRUPTED, debug)
        except BrokenPipeError:
            leave("standard output was closed by its reader", OutputError.exit_code, debug)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            leave(f"{where}{error.strerror or error}", OutputError.exit_code, debug)
        except Exception as error:
            if memory.is_short_of(error):
                leave(memory.words_of(error), OutputError.exit_code, debug)
            if debug:
                raise
            notes = "; ".join(getattr(error, "__notes__", []))
            about = f"{type(error).__name__}: {error}" + (f" ({notes})" if notes else "")
            leave(f"this is a bug in camkit, or in a model of your own: {about}\n--debug shows where", 70, debug)

    call.__doc__ = command.__doc__
    call.__signature__ = signature_of(command, common)  # type: ignore[attr-defined]
    return call


def leave(message: str, exit_code: int, debug: bool) -> NoReturn:
    if debug:
        with suppress(OSError):
            traceback.print_exc()
    say_error(message)
    raise typer.Exit(exit_code)


def say_error(message: str) -> None:
    from camkit.cli.console import coloured

    tell(f"{coloured('error:', 31)} {lines_of(message)}")


def main() -> None:
    signals.listen()
    open_streams()
    # Idle threads of torch (libgomp) give their core back soon: where others want it, work is several times as fast.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    sys.exit(close_streams(run()))


def run() -> Any:
    """The exit code; what is wrong with the command line itself is told here, the rest where a command is called."""
    try:
        return app(prog_name="camkit", standalone_mode=False)
    except SystemExit as end:
        return end.code
    except CamkitError as error:
        say_error(str(error))
        return error.exit_code
    except CommandLineError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
        else:
            say_error(told(error))
        return error.exit_code
    except typer.Abort:
        return INTERRUPTED
    except OSError as error:  # of what help writes
        say_error(error.strerror or str(error))
        return OutputError.exit_code

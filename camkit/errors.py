"""What can go wrong that a user can mend. One place, `camkit.cli.main`, turns these into a message and an exit code."""


class CamkitError(Exception):
    """One or two lines for the user: what is wrong, where, and what to do about it."""

    exit_code = 4


class UsageError(CamkitError):
    """The command was called with options that cannot work together, or with values outside their range."""

    exit_code = 2


class InputError(CamkitError):
    """Files the user brought cannot be used: a folder without images, a list of unknown ids."""


class ImageError(InputError):
    """One image or mask cannot be read."""


class LabelError(InputError):
    """Labels or class names cannot be read, or do not fit the classifier."""


class CheckpointError(InputError):
    """A checkpoint cannot be read, or does not fit the network."""


class StoreError(InputError):
    """A store cannot be read, or does not hold what the command needs."""


class OutputError(CamkitError):
    """A result cannot be written."""


class GateError(CamkitError):
    """A gate (`--min-miou`, `--max-drop`) was not met."""

    exit_code = 1


class PartialFailure(CamkitError):  # noqa: N818 - the run did finish
    """The run finished, but some images failed; they are listed."""

    exit_code = 3


class StepError(CamkitError):
    """A command that this one runs has failed, with its own exit code, and said why."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code if exit_code > 0 else CamkitError.exit_code

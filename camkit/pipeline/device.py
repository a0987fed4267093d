"""Where the arithmetic runs. Chosen once, at the edge; everything below follows its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from camkit.defaults import CPU_BATCH, GPU_BATCH
from camkit.errors import UsageError
from camkit.types import Precision

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Device:
    torch_device: torch.device
    precision: Precision

    @property
    def is_cpu(self) -> bool:
        return self.torch_device.type == "cpu"

    @property
    def threads(self) -> int:
        """A GPU works on a batch in a thread of its own, while the results of the last one are written here."""
        return 0 if self.is_cpu else 1

    def batch_size(self, asked: int | None) -> int:
        """A CPU gains nothing from batches of photos: the mirror image already fills its cores."""
        if asked is not None:
            return asked
        return CPU_BATCH if self.is_cpu else GPU_BATCH


def choose_device(name: str = "auto", precision: Precision = "auto") -> Device:
    """`auto` is the first CUDA device if there is one; under torchrun the one of the local rank."""
    import os

    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and torch.cuda.is_available():
        name = f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"--device {name}: no such device; use auto, cpu, cuda, cuda:N or mps") from None
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError(f"--device {name}: this torch ({torch.__version__}) sees no Apple GPU; use --device cpu")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"--device {name}: this torch ({torch.__version__}) sees no CUDA device; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {name}: only {torch.cuda.device_count()} CUDA device(s) here")
    if device.type == "cpu":
        keep_freed_memory()
    if device.type != "cuda" and precision in ("auto", "tf32"):
        precision = "float32"
    elif precision == "auto":
        precision = "tf32"
    return Device(device, precision)


def keep_freed_memory() -> None:
    """Let glibc reuse the memory of large tensors instead of giving it back to the system after each layer.

    Otherwise an eighth of a ResNet-50's time on a CPU goes into page faults. Larger blocks are still given back, or
    memory would double with the widest networks. Other C libraries are left alone.
    """
    import ctypes

    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(mmap_threshold, 1 << 26)
    mallopt(trim_threshold, (1 << 31) - 1)
    mallopt(top_pad, 64 << 20)


@contextmanager
def arithmetic(device: Device) -> Iterator[None]:
    """The chosen precision, for the time of the block.

    Weights must not change within: what they are as bfloat16 is kept until its end.
    """
    import torch

    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = device.precision != "float32"
    autocast = torch.autocast(device.torch_device.type, torch.bfloat16, enabled=device.precision == "bfloat16")
    try:
        with autocast:
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn


@contextmanager
def inference(device: Device) -> Iterator[None]:
    """The chosen precision and no gradients, for the time of the block."""
    import torch

    with arithmetic(device), torch.inference_mode():
        yield

"""Several processes that train one network: started by torchrun, each with its share of every batch."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from camkit.pipeline.device import Device
from camkit.pipeline.select import shard_of_environment

log = logging.getLogger("camkit")

PATIENCE = timedelta(days=7)
"""For the other ranks, which may have more to make before a training begins."""


@dataclass(frozen=True)
class Ranks:
    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all ranks, on each of them."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, on each of them."""
        if self.count == 1:
            return [value]
        gathered: list[Any] = [None] * self.count
        dist.all_gather_object(gathered, value)
        return gathered

    def agree(self, module: nn.Module) -> None:
        """Every rank has the first one's running statistics."""
        if self.count > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)

    def wait(self) -> None:
        if self.count > 1:
            dist.barrier()

    def joined(self, module: nn.Module, device: Device) -> nn.Module:
        """The module, its gradients averaged over the ranks."""
        if self.count == 1:
            return module
        return nn.parallel.DistributedDataParallel(module, None if device.is_cpu else [device.torch_device])


@contextmanager
def ranks_of_environment(device: Device) -> Iterator[Ranks]:
    rank, count = shard_of_environment()
    if count == 1:
        yield Ranks()
        return
    if not device.is_cpu:
        torch.cuda.set_device(device.torch_device)
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    dist.init_process_group("gloo" if device.is_cpu else "nccl", timeout=PATIENCE)
    level = log.level
    if rank > 0:  # what is told is the same everywhere; warnings are not
        log.setLevel(max(level, logging.WARNING))
    try:
        yield Ranks(rank, count)
    finally:
        log.setLevel(level)
        dist.destroy_process_group()

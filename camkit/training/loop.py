"""THE training loop. What is trained, on what and how it is judged, a trainer says in a `Job`.

A step depends on nothing but the state before it, the seed and its number: a run that was killed and continued ends
with the same weights as one left alone.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from camkit.defaults import SECONDS_BETWEEN_SAVES
from camkit.errors import CheckpointError, InputError, UsageError
from camkit.pipeline.device import Device, arithmetic
from camkit.pipeline.load import Failure, load_ahead
from camkit.pipeline.progress import duration, show_progress
from camkit.settings.recipe import Recipe
from camkit.training.folder import History, TrainingFolder
from camkit.training.interruption import Interruption
from camkit.training.optimiser import Group, make_optimiser
from camkit.training.ranks import Ranks
from camkit.training.resting import below, hold_still, train_mode
from camkit.training.schedule import MovingAverage, rate_factor

log = logging.getLogger("camkit")

Losses = Mapping[str, Tensor]
Figures = Mapping[str, float]
Row = Mapping[str, float | None]


@dataclass(frozen=True, eq=False)
class Job:
    """What a trainer brings.

    network   what is trained and kept
    fresh     names of its modules and weights that start from nothing: they learn faster
    items     what one epoch goes through; they are got in the main thread, where stores are read
    load      item, random numbers → sample; in threads
    collate   samples → batch, on the device
    losses    network, batch, epochs done (with fraction) → losses by name, to be minimised together
    watched   names among them that are not minimised but noted: [B], of each photo, NaN where there is nothing to note
    validate  network in evaluation mode → figures by name
    best_by   the figure whose largest value (of a loss the smallest) marks the best epoch; None: the last is the best
    save      network, epoch and figures, path → checkpoint
    draw      history, path → picture of the learning curve
    resting   names of modules that do not learn, besides those of the recipe
    upper     names of modules that learn alone while the recipe lets all others rest
    groups    how parameters learn; what is in none rests. None: what is fresh learns `head_factor` times as fast
    complete  a row of the learning curve → the same with what follows from it
    untold    names of figures that the log leaves out
    """

    network: nn.Module
    fresh: Sequence[str]
    items: Sequence[Any]
    load: Callable[[Any, np.random.Generator], Any]
    collate: Callable[[Sequence[Any]], Any]
    losses: Callable[[nn.Module, Any, float], Losses]
    validate: Callable[[nn.Module], Figures] | None
    best_by: str | None
    save: Callable[[nn.Module, Mapping[str, Any], Path], None]
    draw: Callable[[History, Path], None]
    resting: Sequence[str] = ()
    upper: Sequence[str] = ()
    watched: Sequence[str] = ()
    groups: Sequence[Group] | None = None
    complete: Callable[[Row], Row] = dict
    untold: Sequence[str] = ()


@dataclass
class State:
    """Where a training is. `sums`: of the losses in this epoch so far, and of what was watched; `counts`: of the
    photos that had it."""

    epoch: int = 0
    step: int = 0
    steps: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    history: History = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def best(self, best_by: str | None) -> dict[str, float | None] | None:
        measured = [row for row in self.history if best_by is not None and row.get(best_by) is not None]
        if not measured:
            return self.history[-1] if self.history else None
        sign = -1 if str(best_by).endswith("loss") else 1
        return max(measured, key=lambda row: sign * (row[best_by] or 0.0))  # type: ignore[index]


class WithLosses(nn.Module):
    """Network and losses as one module: what averages gradients over ranks hooks into `forward`."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.network, self.losses = job.network, job.losses

    def forward(self, batch: Any, epochs_done: float) -> Losses:
        return self.losses(self.network, batch, epochs_done)


def train(
    job: Job,
    recipe: Recipe,
    folder: TrainingFolder,
    device: Device,
    ranks: Ranks,
    *,
    workers: int,
    stop_on_error: bool = False,
    seconds_between_saves: float = SECONDS_BETWEEN_SAVES,
) -> State:
    """Train to the end, from where the folder's state is, and publish the result."""
    run = _Run(job, recipe, folder, device, ranks, workers, stop_on_error, seconds_between_saves)
    run.resume()
    run.begun = (time.monotonic(), run.state.epoch, run.state.step)
    with Interruption() as run.interruption:
        while run.state.epoch < recipe.epochs:
            run.train_epoch()
            run.close_epoch()
    if ranks.first:
        folder.publish()
    ranks.wait()
    return run.state


class _Run:
    def __init__(
        self, job: Job, recipe: Recipe, folder: TrainingFolder, device: Device, ranks: Ranks,
        workers: int, stop_on_error: bool, seconds_between_saves: float,
    ) -> None:  # fmt: skip
        photos = min(recipe.batch_size, len(job.items))
        if photos < ranks.count:
            raise UsageError(f"a batch of {photos} leaves some of {ranks.count} ranks without a photo; start fewer")
        if photos // ranks.count < recipe.accumulate:
            raise UsageError(f"--accumulate {recipe.accumulate}: a rank has but {photos // ranks.count} photos a step")
        self.job, self.recipe, self.folder, self.device, self.ranks = job, recipe, folder, device, ranks
        self.workers, self.stop_on_error, self.seconds_between_saves = workers, stop_on_error, seconds_between_saves
        self.interruption = Interruption()
        self.state = State()
        self.saved = time.monotonic()
        self.begun = (time.monotonic(), 0, 0)
        self.resting = [*recipe.freeze, *job.resting]
        hold_still(job.network, self.resting, norms=not recipe.norm_learns)
        self.optimiser = make_optimiser(job.network, job.fresh, recipe, job.groups)
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        self.lower = below(job.network, job.upper) if recipe.rest_epochs else None
        self.module: nn.Module | None = None
        self.lower_rests = False
        self.average = MovingAverage(job.network, recipe.ema) if recipe.ema is not None else None

    @property
    def result(self) -> nn.Module:
        """The network to be judged and kept."""
        return self.job.network if self.average is None else self.average.network

    @property
    def batches(self) -> int:
        """Of an epoch: whole ones only, but at least one."""
        return max(1, len(self.job.items) // self.recipe.batch_size)

    def resume(self) -> None:
        saved = self.folder.load_state()
        if saved is None:
            return
        try:
            self.job.network.load_state_dict(saved["network"])
            self.optimiser.load_state_dict(saved["optimiser"])
            if self.average is not None:
                self.average.network.load_state_dict(saved["average"])
            self.state = State(**saved["state"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise CheckpointError(
                f"{self.folder.path} holds a state that is not of this training; begin anew with --overwrite"
            ) from error
        log.info("continuing: %d of %d epochs are done", self.state.epoch, self.recipe.epochs)

    def save_state(self) -> None:
        self.saved = time.monotonic()
        if not self.ranks.first:
            return
        self.folder.save_state(
            {
                "network": self.job.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "average": None if self.average is None else self.average.network.state_dict(),
                "state": vars(self.state),
            }
        )

    def train_epoch(self) -> None:
        state, started = self.state, time.monotonic()
        title = f"epoch {state.epoch + 1}/{self.recipe.epochs}"
        before = state.seconds
        self.enter_phase()
        with show_progress(title, self.batches - state.step, "steps") as progress:
            for samples in self.load_batches():
                interrupted = self.take_step(samples)
                state.step, state.steps = state.step + 1, state.steps + 1
                state.seconds = before + time.monotonic() - started
                progress.advance()
                if interrupted or time.monotonic() - self.saved > self.seconds_between_saves:
                    self.save_state()
                if interrupted:
                    raise KeyboardInterrupt

    def enter_phase(self) -> None:
        """What learns in this epoch: ranks average the gradients of that alone."""
        rests = self.state.epoch < self.recipe.rest_epochs
        if self.module is None or rests != self.lower_rests:
            self.lower_rests, self.module = rests, None  # the old one lets go of the weights
            if self.lower is not None:
                learns = f"{', '.join(self.job.upper)} alone, for {self.recipe.rest_epochs} epochs" if rests else "all"
                log.info("what learns now: %s", learns)
                for weight in self.lower.weights:
                    weight.requires_grad_(not rests)
            self.module = self.ranks.joined(WithLosses(self.job), self.device)
        lower = self.lower.modules if self.lower is not None and rests else ()
        train_mode(self.job.network, [*self.resting, *lower], freeze_norm=self.recipe.freeze_norm)

    def load_batches(self) -> Iterator[list[Any]]:
        """This rank's samples of each batch of the epoch that is still to come."""
        state, recipe, items = self.state, self.recipe, self.job.items
        order = np.random.default_rng((recipe.seed, state.epoch)).permutation(len(items))
        first = state.step * recipe.batch_size
        batches = [order[start : start + recipe.batch_size] for start in range(first, len(order), recipe.batch_size)]
        shares = [batch[self.ranks.rank :: self.ranks.count] for batch in batches[: self.batches - state.step]]
        load = partial(self._load, epoch=state.epoch)
        requests = ((int(number), items[int(number)]) for share in shares for number in share)
        samples = load_ahead(requests, load, workers=self.workers, ahead=2 * recipe.batch_size)
        for share in shares:
            yield [sample for sample in islice(samples, len(share)) if not self._note_failure(sample)]

    def _load(self, request: tuple[int, Any], *, epoch: int) -> Any:
        number, item = request
        return self.job.load(item, np.random.default_rng((self.recipe.seed, epoch, number)))

    def _note_failure(self, sample: Any) -> bool:
        if not isinstance(sample, Failure):
            return False
        if self.stop_on_error:
            raise sample.error
        if sample.id not in self.state.failures:
            log.warning("%s is left out: %s", sample.id, sample.error)
            self.state.failures[sample.id] = str(sample.error)
        return True

    def take_step(self, samples: Sequence[Any]) -> bool:
        """One step of the optimiser; True if somebody wants the training to stop."""
        state, recipe = self.state, self.recipe
        assert self.module is not None
        parts = [part for part in _in_parts(samples, recipe.accumulate) if part]
        if len(parts) < (recipe.accumulate if self.ranks.count > 1 else 1):
            if self.ranks.count > 1:
                raise InputError("no photo of a rank's share of a batch can be read; see the warnings above")
            return self.interruption.wanted
        torch.manual_seed(int(np.random.SeedSequence((recipe.seed, state.steps, self.ranks.rank)).generate_state(1)[0]))
        epochs_done = state.epoch + state.step / self.batches
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * rate_factor(recipe, epochs_done)
        self.optimiser.zero_grad(set_to_none=True)
        interrupted = False
        for part in parts:
            with arithmetic(self.device):
                found = self.module(self.job.collate(part), epochs_done)
                losses = {name: loss.float() for name, loss in found.items() if name not in self.job.watched}
                total = torch.stack([*losses.values()]).sum()
                images, wanted = self._add_up(losses, total, [found[name] for name in self.job.watched], len(part))
                # ranks average their gradients; their shares of a batch may differ by a photo
                (total * (len(part) * self.ranks.count / (images * len(parts)))).backward()
            interrupted |= wanted
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(self.job.network.parameters(), recipe.clip)
        self.optimiser.step()
        if self.average is not None:
            self.average.update(self.job.network, state.steps)
        return interrupted

    def _add_up(self, losses: Losses, total: Tensor, watched: Sequence[Tensor], count: int) -> tuple[float, bool]:
        """Keep the losses for the learning curve: the photos of all ranks, and whether one of them is to stop.

        A loss that is no number ends the training before it does harm.
        """
        names = ["loss", *(f"loss_{name}" for name in losses if len(losses) > 1)]
        values = [total, *(losses.values() if len(losses) > 1 else ())]
        row = torch.stack([value.detach().double() * count for value in values])
        seen = [number for value in watched for number in (value.nansum(), (~value.isnan()).sum())]
        noted = torch.stack([number.double() for number in seen]) if seen else row.new_empty(0)
        flags = row.new_tensor([count, float(self.interruption.wanted)])
        everything = self.ranks.total(torch.cat([row, flags, noted])).tolist()
        sums, told = everything[: len(names)], everything[len(names) + 2 :]
        images, interrupted = everything[len(names) : len(names) + 2]
        if not np.isfinite(sums).all():
            self._stop_at_nan(f"the loss is not a number any more, at step {self.state.step + 1} of {self.batches}")
        counts = {**dict.fromkeys(names, images), **dict(zip(self.job.watched, told[1::2], strict=True))}
        for name, value in [*zip(names, sums, strict=True), *zip(self.job.watched, told[::2], strict=True)]:
            self.state.sums[name] = self.state.sums.get(name, 0.0) + value
            self.state.counts[name] = self.state.counts.get(name, 0.0) + counts[name]
        return images, interrupted > 0

    def _stop_at_nan(self, what: str) -> None:
        state = self.state
        kept = (
            f"the weights after epoch {state.epoch} are kept in {self.folder.last}: go on from a copy of them with "
            "--init and a smaller --rate" if state.epoch else "try a smaller --rate, or some --warmup"
        )  # fmt: skip
        rate = self.optimiser.param_groups[0]["lr"]
        raise InputError(f"{what} in epoch {state.epoch + 1}, learning rate {rate:.3g}\n{kept}")

    def close_epoch(self) -> None:
        """Judge, note and keep what the epoch has brought."""
        state = self.state
        if not state.counts.get("loss"):
            raise InputError(f"none of the {len(self.job.items)} training photos can be read; see the warnings above")
        if not all(bool(value.isfinite().all()) for value in self.result.state_dict().values()):
            self._stop_at_nan(f"the weights are not numbers any more, after step {self.batches} of {self.batches}")
        figures = self._judge()
        row: dict[str, float | None] = {"epoch": state.epoch + 1}
        row |= {name: value / state.counts[name] if state.counts[name] else None for name, value in state.sums.items()}
        row["learning_rate"] = self.rates[0] * rate_factor(self.recipe, state.epoch + 1 - 1 / self.batches)
        row |= {name: None if np.isnan(value) else value for name, value in figures.items()}
        row = dict(self.job.complete(row))
        state.history.append(row)
        state.epoch, state.step, state.sums, state.counts = state.epoch + 1, 0, {}, {}
        if self.ranks.first:
            self._keep(row)
        self.save_state()
        told = _sentence(row, self.recipe.epochs, state.seconds, self.job.untold)
        log.info("%s%s", told, self.time_left())
        state.seconds = 0.0

    def time_left(self) -> str:
        """', about 12 min left', by what this process has seen of the training."""
        began, epoch, step = self.begun
        done = self.state.epoch - epoch - step / self.batches
        left = self.recipe.epochs - self.state.epoch
        return f", about {duration(left * (time.monotonic() - began) / done)} left" if left and done > 0 else ""

    def _judge(self) -> Figures:
        """May take long: Ctrl-C interrupts it, unless other ranks would wait for this one; what was trained is kept."""
        if self.job.validate is None:
            return {}
        self.ranks.agree(self.result)
        try:
            self.interruption.at_once = self.ranks.count == 1
            return self.job.validate(self.result.eval())
        except KeyboardInterrupt:
            self.save_state()
            raise
        finally:
            self.interruption.at_once = False

    def _keep(self, row: Mapping[str, float | None]) -> None:
        folder, state = self.folder, self.state
        self.job.save(self.result, row, folder.last)
        if state.best(self.job.best_by) is state.history[-1]:
            self.job.save(self.result, row, folder.best)
        folder.write_history(state.history)
        self.job.draw(state.history, folder.path / "curve.png")


def _in_parts(samples: Sequence[Any], parts: int) -> list[Sequence[Any]]:
    """As even as can be, in their order: ranks then have the same parts of a batch as one process."""
    ends = [len(samples) * number // parts for number in range(parts + 1)]
    return [samples[start:end] for start, end in itertools.pairwise(ends)]


def _sentence(row: Row, epochs: int, seconds: float, untold: Sequence[str]) -> str:
    told = [f"epoch {row['epoch']} of {epochs}", f"loss {row['loss']:.4f}"]
    told += [
        f"{name.replace('_', ' ')} {value:.4f}"
        for name, value in row.items()
        if name not in ("epoch", "loss", "learning_rate", *untold) and value is not None
    ]
    return f"{told[0]}: {', '.join(told[1:])}, {seconds:.1f} s"

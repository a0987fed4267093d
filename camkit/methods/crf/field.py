"""Mean field inference over the points of lattices, in few passes over the pixels.

Filtering is linear and the labels' probabilities sum to 1, so what is filtered is not each label's probability but
its difference to that of label 0 (background): one number per pixel less, and log odds against label 0 come out. One
pass over a block of pixels reads what the blurred lattice says, makes probabilities of it, and adds them to the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, types

from camkit.methods.crf.compiled import inlined, kernel

intrinsic: Any = extending.intrinsic  # a function it makes takes one argument less than it shows

BLOCK = 128
LANES = 4
ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
NEVER = np.float32(-1e30)
"""Log odds of the labels that fill up a multiple of LANES."""
LEAST = np.float32(-87)
"""exp of less is no normal float32."""

VECTOR = ir.VectorType(ir.FloatType(), LANES)


class Lanes(types.Type):
    """Four float32 side by side in one register: numba by itself would compute them one by one."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


@extending.register_model(Lanes)
class LanesModel(extending.models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)


lanes = Lanes()


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), VECTOR.as_pointer())


@intrinsic
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """array[index : index + 4] of a contiguous float32 array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *arguments), align=4)

    return lanes(array, types.intp), generate


@intrinsic
def store(typing_context: Any, array: Any, index: Any, values: Any) -> Any:
    """array[index : index + 4] = values"""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _pointer(context, builder, signature.args[0], *arguments[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@intrinsic
def fill(typing_context: Any, value: Any) -> Any:
    """The same number four times."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), arguments[0], ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))

    return lanes(types.float32), generate


@intrinsic
def lane(typing_context: Any, values: Any, index: Any) -> Any:
    """values[index]"""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.extract_element(*arguments)

    return types.float32(lanes, types.intp), generate


@intrinsic
def as_float(typing_context: Any, bits: Any) -> Any:
    """The float32 that is made of the bits of an int32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


def _binary(instruct: Callable[[Any, Any, Any], Any]) -> Any:
    @intrinsic
    def operation(typing_context: Any, first: Any, second: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return instruct(builder, *arguments)

        return lanes(lanes, lanes), generate

    return operation


add = _binary(lambda builder, first, second: builder.fadd(first, second))
multiply = _binary(lambda builder, first, second: builder.fmul(first, second))
maximum = _binary(
    lambda builder, first, second: builder.select(builder.fcmp_ordered(">", first, second), first, second)
)


@inlined
def gather(
    totals: np.ndarray,
    count: int,
    offsets: np.ndarray,
    weights: np.ndarray,
    start: int,
    first: int,
    stop: int,
    values: np.ndarray,
) -> None:
    """Slice: add to each pixel's total what the points around it say."""
    for p in range(count):
        total = totals[p]
        for v in range(first, stop):
            total += weights[start + p, v] * values[offsets[start + p, v]]
        totals[p] = total


@inlined
def scatter(
    given: np.ndarray,
    count: int,
    offsets: np.ndarray,
    weights: np.ndarray,
    start: int,
    first: int,
    stop: int,
    values: np.ndarray,
) -> None:
    """Splat: add what each pixel gives to the points around it."""
    for p in range(count):
        for v in range(first, stop):
            values[offsets[start + p, v]] += weights[start + p, v] * given[p]


@inlined
def blur(values: np.ndarray, order: np.ndarray) -> None:
    """Each point gets half of either neighbour, on one axis after the other."""
    before, here = ZERO, ZERO
    for k in range(len(order) - 1):
        after = values[order[k + 1]]
        values[order[k]] = here + HALF * (before + after) if order[k] else ZERO
        before, here = here, after


@inlined
def exponential(x: np.ndarray, result: np.ndarray, count: int) -> None:
    """exp of x ≤ 0 (below −87: 1e-38) to 1 ulp, in steps that the compiler turns into vector instructions.

    exp(x) = 2^k exp(r), |r| ≤ ln 2 / 2; ln 2 in two parts keeps r exact; exp(r) by a polynomial.
    """
    for p in range(count):
        value = max(x[p], LEAST)
        k = np.rint(value * np.float32(1.4426950408889634))
        r = value - k * np.float32(0.693359375)
        r = r - k * np.float32(-2.12194440e-4)
        y = np.float32(1.9875691500e-4) * r + np.float32(1.3981999507e-3)
        y = y * r + np.float32(8.3334519073e-3)
        y = y * r + np.float32(4.1665795894e-2)
        y = y * r + np.float32(1.6666665459e-1)
        y = y * r + np.float32(5.0000001201e-1)
        result[p] = (y * r * r + r + ONE) * as_float((np.int32(k) + np.int32(127)) << np.int32(23))


@inlined
def odds_of(unary: np.ndarray, C: int) -> Any:
    """Log odds [N·C] of labels 1 … against label 0, by the unary energies [K, N]."""
    labels, N = unary.shape
    odds = np.empty(N * C, np.float32)
    for start in range(0, N, BLOCK):
        for c in range(C):
            for p in range(start, min(start + BLOCK, N)):
                odds[p * C + c] = unary[0, p] - unary[c + 1, p] if c + 1 < labels else NEVER
    return odds


@inlined
def soften(totals: np.ndarray, count: int, C: int, result: np.ndarray, lowest: np.ndarray, share: np.ndarray) -> None:
    """Exponentials of the log odds, of label 0 in `lowest`, and what makes them probabilities, in `share`."""
    for p in range(count):
        most = fill(ZERO)
        for c in range(p * C, (p + 1) * C, LANES):
            most = maximum(most, load(totals, c))
        share[p] = -max(lane(most, 0), lane(most, 1), lane(most, 2), lane(most, 3))
        for c in range(p * C, (p + 1) * C, LANES):
            store(totals, c, add(load(totals, c), fill(share[p])))
    exponential(share, lowest, count)
    exponential(totals, result, count * C)
    for p in range(count):
        total = fill(ZERO)
        for c in range(p * C, (p + 1) * C, LANES):
            total = add(total, load(result, c))
        share[p] = ONE / (lowest[p] + ((lane(total, 0) + lane(total, 1)) + (lane(total, 2) + lane(total, 3))))


@inlined
def subtract_lowest(given: np.ndarray, count: int, C: int, lowest: np.ndarray, share: np.ndarray) -> None:
    """From exponentials to differences of probabilities to that of label 0."""
    for p in range(count):
        less, times = fill(-lowest[p]), fill(share[p])
        for c in range(p * C, (p + 1) * C, LANES):
            store(given, c, multiply(add(load(given, c), less), times))


@inlined
def gather_lanes(
    totals: np.ndarray, count: int, C: int, offsets: np.ndarray, weights: np.ndarray, start: int, values: np.ndarray
) -> None:
    for p in range(count):
        for c in range(0, C, LANES):
            total = load(totals, p * C + c)
            for v in range(offsets.shape[1]):
                point = np.int64(offsets[start + p, v]) * C
                total = add(total, multiply(fill(weights[start + p, v]), load(values, point + c)))
            store(totals, p * C + c, total)


@inlined
def scatter_lanes(
    given: np.ndarray, count: int, C: int, offsets: np.ndarray, weights: np.ndarray, start: int, values: np.ndarray
) -> None:
    for p in range(count):
        for v in range(offsets.shape[1]):
            point = np.int64(offsets[start + p, v]) * C
            weight = fill(weights[start + p, v])
            for c in range(0, C, LANES):
                store(values, point + c, add(load(values, point + c), multiply(weight, load(given, p * C + c))))


@inlined
def blur_lanes(values: np.ndarray, C: int, order: np.ndarray) -> None:
    half = fill(HALF)
    for c in range(0, C, LANES):
        before, here = fill(ZERO), fill(ZERO)
        for k in range(len(order) - 1):
            after = load(values, np.int64(order[k + 1]) * C + c)
            if order[k]:
                store(values, np.int64(order[k]) * C + c, add(here, multiply(half, add(before, after))))
            before, here = here, after


@kernel("void(i4[:, ::1], f4[:, ::1], i8, i8, i4[::1], i8, f4)")
def normalise(
    offsets: np.ndarray, weights: np.ndarray, first: int, stop: int, order: np.ndarray, points: int, scale: float
) -> None:
    """Divide the weights of a lattice, in columns `first` … `stop`, by the square roots of what filtering 1 gives.

    Used on the way in and on the way out, they make the filter symmetric (NORMALIZE_SYMMETRIC).
    """
    values = np.zeros(points + 1, np.float32)
    ones, norms = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    for p in range(BLOCK):
        ones[p] = ONE
    for start in range(0, len(offsets), BLOCK):
        count = min(BLOCK, len(offsets) - start)
        scatter(ones, count, offsets, weights, start, first, stop, values)
    blur(values, order)
    for start in range(0, len(offsets), BLOCK):
        count = min(BLOCK, len(offsets) - start)
        for p in range(count):
            norms[p] = ZERO
        gather(norms, count, offsets, weights, start, first, stop, values)
        for p in range(count):
            norm = ONE / np.sqrt(norms[p] * scale + np.float32(1e-20))
            for v in range(first, stop):
                weights[start + p, v] *= norm


@kernel("void(f4[:, ::1], i4[:, ::1], f4[:, ::1], i4[::1], i8, i8, f4, f4, i8, f4[:, ::1])")
def infer_two(
    unary: np.ndarray,
    offsets: np.ndarray,
    weights: np.ndarray,
    order: np.ndarray,
    border: int,
    points: int,
    scale: float,
    other_scale: float,
    iterations: int,
    Q: np.ndarray,
) -> None:
    """Mean field of two labels: one number per pixel and point.

    unary   [2, N]
    border  points up to this one are of the first lattice, whose kernel weighs `scale`, later ones of the second
    Q       [2, N] gets the probabilities
    """
    N, columns = offsets.shape
    values, following = np.zeros(points + 1, np.float32), np.zeros(points + 1, np.float32)
    totals, given = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    lesser = np.empty(BLOCK, np.float32)
    for iteration in range(iterations + 1):
        if iteration:
            values, following = following, values
            blur(values, order)
            for point in range(len(values)):
                values[point] *= scale if point <= border else other_scale
                following[point] = ZERO
        for start in range(0, N, BLOCK):
            count = min(BLOCK, N - start)
            for p in range(count):
                totals[p] = unary[0, start + p] - unary[1, start + p]
            if iteration:
                gather(totals, count, offsets, weights, start, 0, columns, values)
            for p in range(count):
                given[p] = -abs(totals[p])
            exponential(given, lesser, count)
            if iteration == iterations:
                for p in range(count):
                    larger = ONE / (ONE + lesser[p])
                    Q[0, start + p] = lesser[p] * larger if totals[p] > 0 else larger
                    Q[1, start + p] = larger if totals[p] > 0 else lesser[p] * larger
                continue
            for p in range(count):
                difference = (ONE - lesser[p]) / (ONE + lesser[p])
                given[p] = difference if totals[p] > 0 else -difference
            scatter(given, count, offsets, weights, start, 0, columns, following)


@kernel("void(f4[:, ::1], i4[:, ::1], f4[:, ::1], i4[::1], i8, i8, f4, f4, i8, f4[:, ::1])")
def infer_many(
    unary: np.ndarray,
    offsets: np.ndarray,
    weights: np.ndarray,
    order: np.ndarray,
    border: int,
    points: int,
    scale: float,
    other_scale: float,
    iterations: int,
    Q: np.ndarray,
) -> None:
    """Mean field of more labels, as `infer_two`; unary and Q [K, N]. Numbers per pixel and point: K - 1, filled up."""
    N, C = len(offsets), -(-(len(unary) - 1) // LANES) * LANES
    odds = odds_of(unary, C)
    values, following = np.zeros((points + 1) * C, np.float32), np.zeros((points + 1) * C, np.float32)
    totals, given = np.empty(BLOCK * C, np.float32), np.empty(BLOCK * C, np.float32)
    lowest, share = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    for iteration in range(iterations + 1):
        if iteration:
            values, following = following, values
            blur_lanes(values, C, order)
            for c in range(len(values)):
                values[c] *= scale if c < (border + 1) * C else other_scale
                following[c] = ZERO
        for start in range(0, N, BLOCK):
            count = min(BLOCK, N - start)
            for c in range(count * C):
                totals[c] = odds[start * C + c]
            if iteration:
                gather_lanes(totals, count, C, offsets, weights, start, values)
            soften(totals, count, C, given, lowest, share)
            if iteration == iterations:
                for p in range(count):
                    Q[0, start + p] = lowest[p] * share[p]
                    for c in range(1, len(Q)):
                        Q[c, start + p] = given[p * C + c - 1] * share[p]
                continue
            subtract_lowest(given, count, C, lowest, share)
            scatter_lanes(given, count, C, offsets, weights, start, following)

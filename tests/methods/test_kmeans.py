from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from camkit.methods import kmeans
from camkit.methods.kmeans import Clusters, cluster
from tests.reference import kmeans as reference


def features_like_a_network(n: int, depth: int, seed: int = 0, parts: int = 8) -> np.ndarray:
    """Directions of a few parts and mixtures of them, of many lengths, none negative: [n, depth] float32."""
    rng = np.random.default_rng(seed)
    weights = rng.gamma(0.2, size=(n, parts))
    mixed = weights / (weights.max(1, keepdims=True) + 1e-9) @ rng.normal(size=(parts, depth))
    noisy = mixed + 0.3 * rng.normal(size=(n, depth)) + 0.1
    return (np.maximum(noisy, 0) * rng.gamma(4, size=(n, 1))).astype(np.float32)


def same(a: Clusters, b: Clusters) -> bool:
    return (
        a.centres.numpy().tobytes() == b.centres.numpy().tobytes()
        and a.counts.equal(b.counts)
        and a.assignments.equal(b.assignments)
        and (a.iterations, a.converged) == (b.iterations, b.converged)
    )


@given(
    n=st.integers(12, 60), depth=st.integers(2, 12), k=st.integers(1, 6), seed=st.integers(0, 999),
    rounds=st.integers(1, 30), signed=st.booleans(), tolerance=st.sampled_from([0.0, 1e-3, 0.05]),
)  # fmt: skip
@settings(max_examples=50)
def test_from_given_centres_it_is_lloyds_own_loop(
    n: int, depth: int, k: int, seed: int, rounds: int, signed: bool, tolerance: float
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, depth)).astype(np.float32) if signed else features_like_a_network(n, depth, seed)
    x[rng.random(n) < 0.1] = 0
    present = np.flatnonzero(x.any(1))
    initial = x[present[:k]]
    if any(reference.cosine(a, b) > 0.9999 for i, a in enumerate(initial) for b in initial[:i]):
        return  # a near tie may fall on either side
    slow = reference.lloyd(x, initial, rounds, tolerance)
    found = cluster(x, k, initial=initial, iterations=rounds, tolerance=tolerance)
    assert found.assignments.tolist() == slow.assignments
    np.testing.assert_allclose(found.centres.numpy(), slow.centres, rtol=1e-5, atol=1e-6)
    assert found.iterations == slow.rounds
    assert found.inertia == pytest.approx(slow.inertias[-1], abs=1e-6)
    assert found.counts.tolist() == [slow.assignments.count(n) for n in range(len(initial))]


@given(
    n=st.integers(1, 80), depth=st.integers(1, 8), k=st.integers(1, 12), seed=st.integers(0, 999),
    kinds=st.integers(1, 80), zeros=st.sampled_from([0.0, 0.3, 1.0]),
)  # fmt: skip
@settings(max_examples=50)
def test_what_holds_of_every_clustering(n: int, depth: int, k: int, seed: int, kinds: int, zeros: float) -> None:
    """Features repeat `kinds` directions, some are 0: centres are means, none is empty, no two are needed for one."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(kinds, depth)).astype(np.float32)[rng.integers(kinds, size=n)]
    x *= 2.0 ** rng.integers(-3, 4, size=(n, 1)).astype(np.float32)
    x[rng.random(n) < zeros] = 0
    found = cluster(x, k, seed=seed)
    owners = found.assignments.numpy()
    np.testing.assert_array_equal(owners < 0, ~x.any(1))
    assert len(found.centres) == len(found.counts) <= k
    assert found.counts.tolist() == [int((owners == c).sum()) for c in range(len(found.counts))]
    assert (found.counts > 0).all()
    for c, centre in enumerate(found.centres.numpy()):
        np.testing.assert_allclose(centre, x[owners == c].astype(np.float64).mean(0), rtol=1e-5, atol=1e-6)
    slow = reference.inertia(x.astype(np.float64), found.centres.numpy().astype(np.float64), owners.tolist())
    assert found.inertia == pytest.approx(slow, abs=1e-5)
    assert found.converged or found.iterations == 300


@given(n=st.integers(20, 200), k=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_inertia_never_rises(n: int, k: int, seed: int) -> None:
    x = features_like_a_network(n, 6, seed)
    initial = cluster(x, k, seed=seed, iterations=1).centres
    inertias = [cluster(x, k, initial=initial, iterations=rounds, tolerance=0).inertia for rounds in range(1, 9)]
    assert all(after <= before + 1e-7 for before, after in pairwise(inertias))


def test_as_many_clusters_as_directions_and_no_more() -> None:
    directions = np.array([[1, 0, 0], [0, 2, 0], [0, 0, 3], [1, 1, 0]], np.float32)
    x = np.repeat(directions, 5, axis=0) * np.array([[1], [2], [4], [8], [16]] * 4, np.float32)
    for k in (4, 12):
        found = cluster(x, k)
        assert found.counts.tolist() == [5, 5, 5, 5]
        assert found.inertia < 1e-7
        assert found.converged
    assert cluster(x[:1], 12).centres.tolist() == [[1, 0, 0]]


def test_nothing_to_cluster() -> None:
    for x in (np.zeros((0, 4), np.float32), np.zeros((7, 4), np.float32)):
        found = cluster(x, 3)
        assert found.centres.shape == (0, 4)
        assert found.counts.shape == (0,)
        assert found.assignments.tolist() == [-1] * len(x)
        assert (found.inertia, found.converged) == (0, True)


def test_empty_clusters_get_the_farthest_features() -> None:
    x = features_like_a_network(300, 8)
    initial = np.concatenate([x[:2], -np.ones((3, 8), np.float32)])  # no feature is nearest to the last three
    found = cluster(x, 5, initial=initial)
    assert len(found.centres) == 5
    assert (found.counts > 0).all()
    assert found.converged
    first = cluster(x, 5, initial=initial, iterations=1)
    two = torch.nn.functional.normalize(torch.from_numpy(x[:2]), dim=1)
    cosines = (torch.nn.functional.normalize(torch.from_numpy(x), dim=1) @ two.T).amax(1)
    farthest = set(cosines.argsort()[:3].tolist())
    assert {int((first.assignments == c).nonzero()[0, 0]) for c in (2, 3, 4)} == farthest
    assert first.counts[2:].tolist() == [1, 1, 1]


def test_an_empty_cluster_of_identical_features_is_left_out() -> None:
    x = np.tile(np.array([[1, 2, 3]], np.float32), (9, 1))
    found = cluster(x, 2, initial=np.array([[1, 2, 3], [3, 2, 1]], np.float32))
    assert found.centres.tolist() == [[1, 2, 3]]
    assert found.assignments.tolist() == [0] * 9
    assert found.converged


def test_it_stops_at_the_cap_and_says_so() -> None:
    x = features_like_a_network(2000, 16)
    for rounds in (2, 5):
        stopped = cluster(x, 8, iterations=rounds, tolerance=0)
        assert (stopped.iterations, stopped.converged) == (rounds, False)
    assert cluster(x, 8, iterations=1000, tolerance=0).converged


def test_threads_and_blocks_do_not_change_a_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    x = features_like_a_network(1500, 32, parts=30)
    expected = cluster(x, 12, seed=3)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        assert same(cluster(x, 12, seed=3), expected)
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr(kmeans, "BLOCK_BYTES", 4 * 32 * 177)
    assert same(cluster(torch.from_numpy(x), 12, seed=3), expected)
    assert not same(cluster(x, 12, seed=4), expected)


def test_the_order_of_features_does_not_matter_to_the_rounds() -> None:
    x = features_like_a_network(5000, 32, parts=20)
    order = np.random.default_rng(1).permutation(len(x))
    expected = cluster(x, 10, initial=x[:10])
    found = cluster(x[order], 10, initial=x[:10])
    assert found.centres.equal(expected.centres)
    assert found.assignments.equal(expected.assignments[torch.from_numpy(order)])


def test_left_alone_is_where_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes when every feature is looked at in every round."""
    x = features_like_a_network(5000, 32, parts=20)
    seen: list[int] = []
    assign = kmeans._Rounds._assign

    def counted(self: kmeans._Rounds, rows: torch.Tensor, directions: torch.Tensor) -> None:
        seen.append(len(rows))
        assign(self, rows, directions)

    monkeypatch.setattr(kmeans._Rounds, "_assign", counted)
    expected = cluster(x, 10, initial=x[:10], tolerance=0)
    looked_at = sum(seen)
    seen.clear()
    monkeypatch.setattr(kmeans, "SLACK", 10.0)
    assert same(cluster(x, 10, initial=x[:10], tolerance=0), expected)
    assert sum(seen) == len(x) * expected.iterations
    assert looked_at < sum(seen) / 2


def test_what_settled_in_a_sample_ends_as_low(monkeypatch: pytest.MonkeyPatch) -> None:
    x = features_like_a_network(6000, 32, parts=12)
    drawn = [cluster(x, 12, initial=x[start : start + 12]).inertia for start in range(0, 60, 12)]
    monkeypatch.setattr(kmeans, "SAMPLE_BYTES", 4 * 32 * 1000)
    settled = [cluster(x, 12, seed=seed) for seed in range(5)]
    assert np.mean([found.inertia for found in settled]) < np.mean(drawn)
    assert all(len(found.centres) == 12 and found.converged for found in settled)
    assert same(cluster(x, 12, seed=2), settled[2])


def test_half_precision_features_cost_half_the_memory_and_little_else() -> None:
    x = features_like_a_network(3000, 32, parts=20)
    half = cluster(x.astype(np.float16), 8)
    assert same(half, cluster(x.astype(np.float16).astype(np.float32), 8))
    assert half.centres.dtype == torch.float32


def test_numbers_that_are_not_finite_are_refused() -> None:
    x = features_like_a_network(50, 4)
    x[7, 2] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        cluster(x, 3)


@pytest.mark.parametrize("side", ["fg", "bg"])
@pytest.mark.parametrize("variant", ["official", "early_tol5000", "tight"])
def test_parity_with_the_published_program(oracles: Path, variant: str, side: str) -> None:
    """It stops where (Σ |centre − centre before|)² is below its tolerance: ours is a share of Σ |centre|."""
    name = f"{variant}_{side}"
    told = json.loads((oracles / "lpcam_kmeans.json").read_text())["variants"][name]
    arrays = np.load(oracles / "lpcam_kmeans.npz")
    x, initial = (arrays[f"{side}_{kind}_f16"].astype(np.float32) for kind in ("X", "init_centers"))
    centres = arrays[f"{name}_centers"] if f"{name}_centers" in arrays else arrays[f"official_{side}_centers"]
    tolerance = told["tol"] ** 0.5 / np.linalg.norm(centres, axis=1).sum()
    found = cluster(x, 12, initial=initial, tolerance=float(tolerance))
    assert (found.iterations, found.converged) == (told["iterations"], True)
    np.testing.assert_array_equal(found.assignments.numpy(), arrays[f"{name}_ids"])
    assert found.counts.tolist() == told["counts"]
    difference = np.abs(found.centres.numpy() - centres).max()
    print(name, "centres", difference)
    assert difference <= 1e-3 or f"{name}_centers" not in arrays

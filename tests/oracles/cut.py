"""Cuts the files of this folder: `python -m tests.oracles.cut ORACLES`, a folder with whole outputs of the programs.

Nothing of a photo is taken along. README.md says what each file holds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
PHOTO = "2007_000001"
TINY = ("tiny_x", "tiny_edge", "tiny_rw", "tiny_dense_aff", "tiny_trans", "tiny_rw_beta8_exp3")
CROP = (8, 12)


def walk_of_irn(oracles: Path) -> dict[str, Any]:
    known = np.load(oracles / "irn_rw.npz")
    maps = np.load(oracles / "irn_cam.npz")[f"{PHOTO}_cam"]
    return {**{name: known[name] for name in TINY}, "edge": known[f"{PHOTO}_edge"], "maps": maps,
            "walked": known[f"{PHOTO}_rw"]}  # fmt: skip


def walk_of_psa(oracles: Path) -> dict[str, Any]:
    """Features of a corner alone: an affinity is that of two cells, whatever lies elsewhere. So are means of cells."""
    known, height, width = np.load(oracles / "psa_rw.npz"), *CROP
    maps = np.load(oracles / "psa_cam.npz")[f"{PHOTO}_norm_cam"]
    start, walked = known[f"{PHOTO}_cam_vec"].reshape(21, 23, 31), known[f"{PHOTO}_rw_lowres"].reshape(21, 23, 31)
    present = np.flatnonzero(start.any(axis=(1, 2)))
    return {
        "features": known[f"{PHOTO}_f9_elu_f16"][:, :height, :width], "affinities": known[f"{PHOTO}_aff_sparse"],
        "start": start[present], "walked": walked[present], "maps": maps[:, 128:, 192:],
    }  # fmt: skip


def kmeans_of_lpcam(oracles: Path) -> dict[str, Any]:
    """61 points lie in 61 of the 2,048 dimensions: turned into those, all angles and means are what they were."""
    known = np.load(oracles / "lpcam_kmeans.npz")
    points = known["fg_X_f16"].astype(np.float64)
    axes = np.linalg.qr(points.T)[0]  # [2048, 61]
    found = {"points": points @ axes, "initial": known["fg_init_centers_f16"].astype(np.float64) @ axes}
    found["weight"] = known["classifier_weight_used"].astype(np.float64) @ axes
    for variant in ("official", "early_tol5000", "tight"):
        for name in ("ids", "prob", "selected"):
            found[f"{variant}_{name}"] = known[f"{variant}_fg_{name}"]
        found[f"{variant}_centres"] = known[f"{variant}_fg_centers"].astype(np.float64) @ axes
    return {name: value.astype(np.float32) if value.dtype == np.float64 else value for name, value in found.items()}


def splits_of_infercam(oracles: Path, ids: list[str]) -> dict[str, Any]:
    """Of the maps that say where to split the sums over rows and columns, of which their centres of mass are made."""
    maps = np.load(oracles / "psa_cam.npz")
    sums = {}
    for id in ids:
        sums[f"{id}_rows"] = maps[f"{id}_norm_cam"].sum(axis=2, dtype=np.float64)
        sums[f"{id}_columns"] = maps[f"{id}_norm_cam"].sum(axis=1, dtype=np.float64)
    return sums


def crf_of_the_library() -> dict[str, Any]:
    """What pydensecrf gives for a part of a drawn scene, with the settings of the programs that call it."""
    from camkit.data.toy.scene import draw_scene
    from camkit.methods.crf import dense_crf
    from camkit.settings.crf import settings_of
    from tests.oracles.test_published import CRF_PRESETS, crf_energies

    scene = draw_scene(0, 3)
    image, mask = scene.image[40:104, 40:120], scene.mask[40:104, 40:120]
    rng = np.random.default_rng(0)
    exact = np.stack([mask == c + 1 for c in scene.classes]).astype(np.float32)
    coarse = exact.reshape(len(exact), 16, 4, 20, 4).mean(axis=(2, 4))
    maps = np.clip(0.7 * coarse + 0.3 * rng.random(coarse.shape), 0, 1).astype(np.float16)
    found: dict[str, Any] = {"image": image, "maps": maps}
    for preset in CRF_PRESETS:
        energies = crf_energies(maps, image.shape[:2], preset)
        q = dense_crf(image, energies, settings_of(preset).parameters, engine="pydensecrf")
        found[f"{preset}_Q"] = q.astype(np.float16)
    return found


def facts(oracles: Path) -> dict[str, Any]:
    def read(name: str) -> Any:
        return json.loads((oracles / f"{name}.json").read_text())

    infercam, irn, kmeans = read("infercam"), read("irn_rw"), read("lpcam_kmeans")
    images = {
        id: {name: told[name] for name in ("size_hw", "mass_center_int_yx", "split_boxes_y0y1x0x1")}
        for id, told in infercam["images"].items()
    }
    wanted = ("tol", "class_thres", "iterations", "counts")
    variants = {
        name.removesuffix("_fg"): {key: told[key] for key in wanted}
        for name, told in kmeans["variants"].items()
        if name.endswith("_fg")
    }
    return {
        "infercam": {"params": infercam["params"], "images": images},
        "irn_walk": {"power": irn["beta"], "radius": irn["radius"]},
        "lpcam_kmeans": {"class": kmeans["class_id"], "variants": variants},
    }


def main() -> None:
    oracles = Path(sys.argv[1])
    told = facts(oracles)
    (HERE / "facts.json").write_text(json.dumps(told, indent=1) + "\n")
    np.savez_compressed(HERE / "irn_walk.npz", **walk_of_irn(oracles))
    np.savez_compressed(HERE / "psa_walk.npz", **walk_of_psa(oracles))
    np.savez_compressed(HERE / "lpcam_kmeans.npz", **kmeans_of_lpcam(oracles))
    np.savez_compressed(HERE / "infercam.npz", **splits_of_infercam(oracles, [*told["infercam"]["images"]]))
    np.savez_compressed(HERE / "crf.npz", **crf_of_the_library())


if __name__ == "__main__":
    main()

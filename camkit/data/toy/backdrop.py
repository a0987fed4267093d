"""What lies behind the objects: sky, hills, ground, water, as colour schemes with fractal noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from camkit.data.toy.noise import fractal_noise, soft_step
from camkit.data.toy.shapes import Colour, mix
from camkit.types import Size


@dataclass(frozen=True)
class Scheme:
    """rough: contrast of the ground; blades: how much its grain is drawn upwards (grass)."""

    zenith: Colour
    skyline: Colour
    hill: Colour
    far: Colour
    near: Colour
    rough: float
    blades: float = 1.0
    cloudy: float = 0.5
    warmth: float = 0.0


SCHEMES = {
    "meadow": Scheme(
        (92, 150, 214), (202, 222, 232), (112, 146, 110),
        (138, 172, 92), (84, 128, 54), 0.16, 3.0,
    ),
    "autumn": Scheme(
        (140, 168, 196), (226, 218, 200), (150, 120, 84),
        (178, 146, 82), (134, 98, 52), 0.18, 2.0, 0.6, 0.03,
    ),
    "beach": Scheme(
        (84, 160, 216), (214, 232, 236), (150, 168, 150),
        (232, 214, 174), (212, 184, 138), 0.07,
    ),
    "street": Scheme(
        (150, 172, 196), (216, 220, 222), (146, 144, 150),
        (140, 140, 142), (104, 104, 110), 0.08,
    ),
    "snow": Scheme(
        (136, 170, 208), (222, 230, 238), (158, 176, 190),
        (228, 234, 242), (206, 216, 232), 0.05,
    ),
    "dusk": Scheme(
        (74, 74, 128), (250, 178, 124), (92, 76, 108),
        (116, 96, 104), (80, 70, 84), 0.12, 1.5, 0.7, 0.07,
    ),
    "desert": Scheme(
        (108, 164, 210), (238, 224, 198), (188, 140, 104),
        (222, 180, 128), (196, 146, 94), 0.09, 1.0, 0.2, 0.03,
    ),
    "overcast": Scheme(
        (158, 168, 178), (206, 210, 214), (112, 128, 122),
        (128, 142, 104), (96, 110, 74), 0.14, 2.5, 1.0,
    ),
    "gravel": Scheme(
        (120, 160, 206), (214, 222, 228), (126, 138, 120),
        (172, 164, 152), (140, 132, 122), 0.17,
    ),
    "table": Scheme(
        (196, 188, 176), (222, 214, 202), (200, 190, 178),
        (186, 140, 96), (164, 114, 72), 0.06, 0.25, 0.0, 0.03,
    ),
}  # fmt: skip
_WATER = {"deep": (46, 96, 132), "green": (62, 122, 118), "bright": (72, 144, 178), "grey": (104, 122, 134)}


@dataclass(frozen=True)
class Setting:
    """Where a scene plays; rows in pixels. Water lies from the horizon to `shore`, ground from there on.

    light  where the light comes from: right and down, about 1 long
    """

    scheme: Scheme
    water: Colour
    horizon: float
    shore: float
    light: tuple[float, float]
    seed: int


def choose_setting(rng: np.random.Generator, size: Size, *, boats: bool, land: bool) -> Setting:
    height = size[0]
    name = (
        str(rng.choice([*SCHEMES]))
        if not boats
        else str(rng.choice([key for key in SCHEMES if key not in ("street", "table")]))
    )
    horizon = height * rng.uniform(0.28, 0.48)
    if not boats and rng.random() < 0.25:
        horizon = -0.25 * height  # seen from above: ground only
    if boats:
        shore = horizon + (height - horizon) * rng.uniform(0.3, 0.4) if land else 1.2 * height
    else:
        pond = horizon > 0 and name not in ("street", "table") and rng.random() < 0.18
        shore = horizon + (height - horizon) * rng.uniform(0.2, 0.45) if pond else horizon
    side = rng.choice([-1.0, 1.0])
    light = (float(side * rng.uniform(0.4, 0.8)), -float(rng.uniform(0.6, 0.9)))
    return Setting(SCHEMES[name], _WATER[str(rng.choice([*_WATER]))], horizon, shore, light, int(rng.integers(1 << 30)))


def paint_backdrop(setting: Setting, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """The picture [H, W, 3] float32 in [0, 255] without objects, and the ripples of its water [H, W]."""
    rng = np.random.default_rng(setting.seed)
    rows = np.arange(size[0], dtype=np.float32)[:, None]
    canvas = _ground(rng, setting, size)
    ripples = np.zeros(size, np.float32)
    if setting.shore > setting.horizon:
        ripples = _water(rng, setting, canvas, rows)
    if setting.horizon > 0:
        _sky(rng, setting, canvas, rows)
        _hills(rng, setting, canvas, rows)
    return canvas, ripples


def _blend(canvas: np.ndarray, share: np.ndarray, colour: np.ndarray | Colour) -> None:
    canvas += share[..., None] * (np.asarray(colour, np.float32) - canvas)


def _perspective(
    rng: np.random.Generator, size: Size, horizon: float, cell: tuple[float, float], octaves: int
) -> np.ndarray:
    """[H, W] noise on a plane that recedes to the horizon: finer and flatter the farther."""
    height = size[0]
    depth = np.clip((np.arange(height) - horizon) / (height - horizon), 0, 1)
    far = 1 / (depth + 0.18)
    take = ((far - far.min()) * height * 0.5).astype(int)
    field = fractal_noise(rng, (int(take.max()) + 1, size[1]), cell, octaves)
    receding: np.ndarray = field[take]
    return receding


def _ground(rng: np.random.Generator, setting: Setting, size: Size) -> np.ndarray:
    scheme, height = setting.scheme, size[0]
    top = max(setting.shore, setting.horizon)
    depth = np.clip((np.arange(height, dtype=np.float32) - top) / max(height - top, 1), 0, 1)[:, None, None]
    far, near = np.array(scheme.far, np.float32), np.array(scheme.near, np.float32)
    canvas = np.broadcast_to(far + (near - far) * depth, (*size, 3)).copy()
    wide = _perspective(rng, size, setting.horizon, (height * 0.16, height * 0.3), 3)
    fine = fractal_noise(rng, size, (2.2 * max(scheme.blades, 1), 2.2 / min(scheme.blades, 1)), 2, 0.8)
    light = 1 + np.float32(scheme.rough) * (
        np.float32(0.55) * wide + fine * (np.float32(0.25) + np.float32(0.45) * depth[..., 0])
    )
    canvas *= np.clip(light, 0.4, 1.7)[..., None]
    return canvas


def _water(rng: np.random.Generator, setting: Setting, canvas: np.ndarray, rows: np.ndarray) -> np.ndarray:
    height, width = canvas.shape[:2]
    ripples = _perspective(rng, (height, width), setting.horizon, (4.5, height * 0.14), 3)
    depth = np.clip((rows - setting.horizon) / max(min(setting.shore, height) - setting.horizon, 1), 0, 1)
    far, near = mix(setting.water, setting.scheme.skyline, 0.6), mix(setting.water, (20, 40, 60), 0.15)
    water = np.array(far, np.float32) + depth[..., None] * np.float32(np.subtract(near, far))
    water = water * (1 + np.float32(0.09) * ripples[..., None])
    water += 60 * soft_step(ripples, 1.7, 1.2)[..., None] * (1 - 0.5 * depth[..., None])
    edge = setting.shore + 0.02 * height * fractal_noise(rng, (1, width), (1, width * 0.2), 3)
    foam = np.exp(-(((rows - edge) / (0.012 * height)) ** 2))
    _blend(canvas, soft_step(edge - rows, 0, 1.5), water)
    _blend(canvas, (0.7 * foam).astype(np.float32), (244, 246, 246))
    return ripples


def _sky(rng: np.random.Generator, setting: Setting, canvas: np.ndarray, rows: np.ndarray) -> None:
    height, width = canvas.shape[:2]
    scheme = setting.scheme
    part = min(int(setting.horizon) + 2, height)
    depth = np.clip(rows[:part] / setting.horizon, 0, 1)
    zenith, skyline = np.array(scheme.zenith, np.float32), np.array(scheme.skyline, np.float32)
    sky = np.broadcast_to(zenith + (skyline - zenith) * depth[..., None] ** 1.2, (part, width, 3)).copy()
    if scheme.cloudy:
        field = fractal_noise(rng, (part, width), (height * 0.13, width * 0.3), 4)
        share = np.float32(0.75) * soft_step(field, 1.1 - scheme.cloudy, 1.6) * (1 - np.float32(0.6) * depth)
        _blend(sky, share, mix(scheme.skyline, (255, 255, 255), 0.7))
    _blend(canvas[:part], soft_step(setting.horizon - rows[:part], 0, 1.5), sky)


def _hills(rng: np.random.Generator, setting: Setting, canvas: np.ndarray, rows: np.ndarray) -> None:
    height, width = canvas.shape[:2]
    if setting.scheme is SCHEMES["table"]:
        return
    for haze in (0.6, 0.25)[: int(rng.integers(0, 3))]:
        ridge = fractal_noise(rng, (1, width), (1, width * rng.uniform(0.25, 0.5)), 4, 0.45)
        crest = setting.horizon - height * (0.05 + 0.05 * haze) * np.clip(1 + 0.8 * ridge, 0.05, None)
        inside = soft_step(rows - crest, 0, 1.5) * soft_step(setting.horizon - rows, -0.5, 1.5)
        grain = fractal_noise(rng, (height, width), (4, 6), 2) * np.float32(7 * (1 - haze))
        colour = np.array(mix(setting.scheme.hill, setting.scheme.skyline, haze), np.float32) + grain[..., None]
        _blend(canvas, inside, colour)

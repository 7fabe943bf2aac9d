"""What a race looks like: colours, sky, hills, fog, light and weather of a theme, with or without variation."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from envs.kart.options import THEMES as THEMES
from envs.kart.plates import PLATES
from envs.kart.sprites import atlas

# Rows of Look.colours.
(GRASS_DARK, GRASS_LIGHT, ROAD_DARK, ROAD_LIGHT, LINE, KERB_A, KERB_B, PAD_A, PAD_B, FOG, SKY_TOP, SKY_LOW,
 HILL_FAR, HILL_NEAR, WALL_A, WALL_B, WALL_TOP, CLOUD, SUN, BANNER) = range(20)  # fmt: skip
COLOURS = 20
# Entries of Look.weather.
FOG_RATE, AMBIENT, WET, RAIN, SNOW, CLOUDS, SUN_TURN, SUN_HEIGHT, SKY_TILE, DRIFT, BUMP = range(11)
WEATHER = 11
AZIMUTHS = 1024  # samples of hills and sky around the horizon
SKY_ROWS = 64  # rows of the cloud tile, from the horizon to SKY_SPAN
SKY_SPAN = 0.9  # elevation of the cloud tile's upper edge, rad
HILLS_BELOW = 0.2  # elevation that no hill exceeds, rad
TILE = 128  # texels per side of the ground texture
TEXEL = 0.0625  # side of a texel, m
SHADES = 16  # levels of the ground texture

_PALETTES = {
    "day": dict(grass=((74, 134, 54), (112, 172, 74)), road=((92, 93, 98), (122, 122, 126)), edge=(238, 238, 232),
                kerb=((206, 38, 38), (240, 240, 236)), fog=(196, 218, 238), sky=((64, 128, 222), (188, 218, 246)),
                hills=((124, 158, 168), (84, 128, 92)), wall=((196, 52, 46), (232, 232, 228)),
                cloud=(255, 255, 255), sun=(255, 246, 214)),
    "night": dict(grass=((46, 92, 52), (70, 120, 66)), road=((84, 84, 94), (112, 112, 122)), edge=(244, 240, 210),
                  kerb=((206, 46, 46), (236, 236, 236)), fog=(16, 18, 38), sky=((5, 7, 26), (34, 36, 78)),
                  hills=((22, 24, 52), (14, 16, 34)), wall=((190, 150, 40), (58, 60, 74)),
                  cloud=(230, 234, 255), sun=(246, 244, 226)),
    "rain": dict(grass=((58, 98, 58), (82, 122, 72)), road=((56, 60, 68), (80, 84, 92)), edge=(206, 208, 210),
                 kerb=((164, 44, 46), (206, 208, 210)), fog=(148, 156, 166), sky=((96, 106, 122), (156, 164, 174)),
                 hills=((122, 132, 142), (90, 104, 106)), wall=((60, 88, 140), (190, 194, 198)),
                 cloud=(186, 192, 200), sun=(170, 176, 184)),
    "snow": dict(grass=((214, 224, 236), (246, 249, 252)), road=((108, 114, 126), (142, 148, 158)),
                 edge=(226, 190, 60), kerb=((52, 92, 190), (238, 242, 248)), fog=(220, 228, 238),
                 sky=((150, 176, 210), (216, 226, 238)), hills=((184, 198, 216), (152, 172, 190)),
                 wall=((60, 96, 176), (220, 226, 234)), cloud=(244, 246, 250), sun=(255, 250, 236)),
    "desert": dict(grass=((204, 164, 104), (232, 196, 138)), road=((112, 102, 94), (144, 132, 120)),
                   edge=(244, 236, 214), kerb=((214, 96, 36), (244, 236, 220)), fog=(238, 214, 176),
                   sky=((70, 140, 214), (240, 216, 172)), hills=((206, 140, 96), (178, 98, 62)),
                   wall=((150, 84, 54), (220, 186, 138)), cloud=(255, 246, 230), sun=(255, 250, 220)),
}  # fmt: skip
_WEATHER = {  # fog per metre, ambient light, wetness, rain, snow, clouds
    "day": (0.0045, 1.0, 0.0, 0.0, 0.0, 0.55),
    "night": (0.009, 0.22, 0.0, 0.0, 0.0, 1.0),
    "rain": (0.013, 1.0, 0.55, 1.0, 0.0, 0.8),
    "snow": (0.011, 1.0, 0.0, 0.0, 1.0, 0.5),
    "desert": (0.006, 1.0, 0.0, 0.0, 0.0, 0.15),
}
_SCENERY = {
    "day": ("tree", "pine", "bush"),
    "night": ("pine", "tree", "lamp"),
    "rain": ("pine", "tree", "bush"),
    "snow": ("snow pine", "pine", "snow bush"),
    "desert": ("cactus", "rock", "rock"),
}
_KERBS = (((206, 38, 38), (240, 240, 236)), ((40, 84, 196), (238, 240, 246)), ((240, 190, 40), (40, 40, 44)),
          ((46, 150, 70), (240, 240, 236)), ((230, 110, 30), (240, 236, 224)))  # fmt: skip


@dataclass(frozen=True)
class KartLook:
    """Arrays that the renderer reads; rows and entries are named above."""

    colours: np.ndarray  # float32 [COLOURS, 3]
    weather: np.ndarray  # float32 [WEATHER]
    hills: np.ndarray  # float32 [2, AZIMUTHS], elevation of the far and the near ridge, rad
    scenery: np.ndarray  # int64 [ITEM_KINDS], sprite of each kind of item


@lru_cache(maxsize=128)
def make_look(theme: str, seed: int, amount: float) -> KartLook:
    """A theme as designed (amount 0) or varied by up to `amount` (1: hard to recognise) with a seed."""
    rng = np.random.default_rng([23, THEMES.index(theme), seed])
    p = _PALETTES[theme]
    kerb, wall = p["kerb"], p["wall"]
    if rng.random() < amount:
        kerb = _KERBS[int(rng.integers(len(_KERBS)))]
    if rng.random() < amount:
        wall = _KERBS[int(rng.integers(len(_KERBS)))]
    rows = [*p["grass"], *p["road"], p["edge"], *kerb, (20, 190, 220), (250, 236, 90), p["fog"], *p["sky"],
            *p["hills"], *wall, (232, 232, 232), p["cloud"], p["sun"], (24, 24, 28)]  # fmt: skip
    colours = np.array(rows, np.float32)
    tints = 1.0 + amount * rng.uniform(-0.22, 0.22, (COLOURS, 3))
    tints[GRASS_LIGHT], tints[ROAD_LIGHT] = tints[GRASS_DARK], tints[ROAD_DARK]
    colours *= tints * (1.0 + amount * rng.uniform(-0.25, 0.15))
    fog, ambient, wet, rain, snow, clouds = _WEATHER[theme]
    weather = np.zeros(WEATHER, np.float32)
    weather[[FOG_RATE, AMBIENT, WET, RAIN, SNOW]] = fog, ambient, wet, rain, snow
    weather[FOG_RATE] *= 1.0 + amount * rng.uniform(-0.5, 1.2)
    weather[CLOUDS] = np.clip(clouds + amount * rng.uniform(-0.5, 0.5), 0.0, 1.0)
    weather[SUN_TURN], weather[SUN_HEIGHT] = rng.uniform(0.0, 2.0 * math.pi), rng.uniform(0.22, 0.4)
    weather[SKY_TILE], weather[DRIFT] = float(theme == "night"), rng.uniform(0.0, AZIMUTHS)
    weather[BUMP] = 1.0 + amount * rng.uniform(-0.8, 0.8)
    first = atlas().first
    scenery = [first["cone"], first["sign left"], first["sign"], *(first[name] for name in _SCENERY[theme]),
               *(first[name] for name in PLATES)]  # fmt: skip
    return KartLook(np.clip(colours, 0.0, 255.0), weather, ridges(rng, theme), np.array(scenery, np.int64))


def ridges(rng: np.random.Generator, theme: str) -> np.ndarray:
    """Elevation of two ranges of hills around the horizon: rolling, jagged in snow, flat-topped in the desert."""
    turn = np.arange(AZIMUTHS) * (2.0 * math.pi / AZIMUTHS)
    out = np.zeros((2, AZIMUTHS), np.float32)
    for layer, (base, swing) in enumerate(((0.075, 0.05), (0.035, 0.028))):
        waves = np.zeros(AZIMUTHS)
        for k in (2, 3, 5, 8, 13, 21, 34):
            wave = np.sin(k * turn + rng.uniform(0.0, 2.0 * math.pi))
            waves += (np.abs(wave) * 2.0 - 1.0 if theme == "snow" else wave) / k**0.8
        waves /= 1.4
        if theme == "desert":
            waves = np.tanh(6.0 * (waves - 0.25)) + 0.12 * waves
        out[layer] = np.minimum(base + swing * waves, HILLS_BELOW)
    return out


def fractal(rng: np.random.Generator, shape: tuple[int, int], slope: float) -> np.ndarray:
    """Cyclic random texture with a power-law spectrum, mean 0 and standard deviation 1."""
    fy, fx = np.fft.fftfreq(shape[0])[:, None] * shape[0], np.fft.fftfreq(shape[1])[None, :] * shape[1]
    radius = np.hypot(fy, fx)
    radius[0, 0] = 1.0
    spectrum = np.fft.fft2(rng.standard_normal(shape)) / radius**slope
    spectrum[0, 0] = 0.0
    field = np.fft.ifft2(spectrum).real
    return field / field.std()


@lru_cache(maxsize=1)
def textures() -> tuple[np.ndarray, np.ndarray]:
    """Ground tiles uint8 [2 * TILE * TILE] (grass 0..15, road 16..31), sky tiles uint8 [2, SKY_ROWS, AZIMUTHS]."""
    rng = np.random.default_rng(29)
    ground = np.empty((2, TILE, TILE), np.uint8)
    for k, (coarse, fine) in enumerate(((2.4, 2.0), (1.2, 2.6))):
        value = 7.5 + coarse * fractal(rng, (TILE, TILE), 1.2) + fine * fractal(rng, (TILE, TILE), 0.3)
        ground[k] = np.clip(np.rint(value), 0, SHADES - 1)
    sky = np.zeros((2, SKY_ROWS, AZIMUTHS), np.uint8)
    # Stretched along the horizon, thinner towards it and towards the zenith.
    clouds = np.repeat(fractal(rng, (2 * SKY_ROWS, AZIMUTHS // 2), 1.5), 2, axis=1)[:SKY_ROWS]
    height = np.linspace(0.0, 1.0, SKY_ROWS)[:, None]
    clouds = np.clip((clouds - 0.1) * 1.4, 0.0, 1.0) * np.clip(height * 5.0, 0.0, 1.0) * (1.15 - height)
    sky[0] = np.clip(255.0 * clouds, 0, 255)
    stars = rng.random((SKY_ROWS, AZIMUTHS)) < 0.012
    sky[1][stars] = rng.integers(60, 256, int(stars.sum()))
    ground[1] += SHADES  # palettes hold grass first, then road
    return ground.ravel(), sky

"""The cameras of the kart game and of the car: mounting, lens and sensor. `envs.kart.camera` takes the pictures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Camera:
    """Mounting, lens and sensor of one camera."""

    fov: float = 80.0  # horizontal field of view of the 4:3 frame, degrees
    height: float = 1.0  # height above the ground, m
    pitch: float = 8.0  # tilt below the horizon, degrees
    forward: float = 0.0  # distance ahead of the kart's centre of mass, m; far behind it the kart itself is seen
    k1: float = 0.0  # radial distortion, r' = r (1 + k1 r^2 + k2 r^4), negative for a barrel
    k2: float = 0.0
    shutter: float = 0.0  # exposure time, s: motion blur
    vignette: float = 0.0  # darkening of the corners, 0..1
    noise: float = 0.0  # standard deviation at full brightness, grey levels
    jpeg: int = 0  # quality 1..100 as in libjpeg; 0 for none


CAMERAS = {
    "kart": Camera(fov=84.0, height=1.15, pitch=9.0, forward=0.2),
    "picam": Camera(fov=112.0, height=0.5, pitch=6.0, forward=0.5, k1=-0.13, k2=0.012, shutter=0.016,
                    vignette=0.45, noise=4.0, jpeg=60),
    "wide": Camera(fov=112.0, height=1.15, pitch=14.0, forward=0.2),  # sees round a hairpin
    "chase": Camera(fov=76.0, height=2.3, pitch=13.0, forward=-4.4),
}  # fmt: skip

"""N simulated cars: the kart's races with an electric motor, a camera's full picture, and signs beside the road."""

import numpy as np

from agents.perception import preprocess
from envs.car_game import signs
from envs.car_game.options import CAMERA, OBSERVED, CarOptions
from envs.kart import columns as c
from envs.kart.batch import KartBatch
from envs.kart.camera import CAMERAS, Rays, rays
from envs.kart.columns import TOP_SPEED
from envs.kart.drivers import expert_batch
from envs.kart.physics import BY_THROTTLE
from envs.kart.track import make_track

STANDING = 0.02  # throttle up to which nobody wants to drive: who stands then is not stuck


class CarBatch(KartBatch):
    """See the module. A target speed becomes the throttle that holds it without load: no sensor tells the speed."""

    options: CarOptions

    @property
    def eyes(self) -> Rays:
        """The rays of the camera's own pictures."""
        return rays(CAMERAS[self.options.camera], CAMERA[1], CAMERA[0])

    def _fill_slot(self, i: int) -> None:
        before = self._placed[i, 0]
        super()._fill_slot(i)
        if self._placed[i, 0] == before:
            return
        track = make_track(int(self.track[i]))
        self.scene.pad_count[i] = 0  # no car has a turbo
        if self.options.signs:
            signs.put(self.scene, i, track, signs.stand(track))

    def throttle(self, actions: np.ndarray) -> np.ndarray:
        """The throttle, float64 [N], that actions of the option `control` mean: 0 to its cap."""
        share = (np.asarray(actions, np.float64)[:, 1] + 1.0) * 0.5
        return share * self.options.throttle_cap  # also of a target speed: see `CarOptions.top_speed`

    def command(self, actions: np.ndarray) -> tuple[np.ndarray, int]:
        """As the kart's: steering, throttle, no hand brake."""
        out = np.full((self.num, 3), -1.0)
        out[:, 0], out[:, 1] = actions[:, 0], self.throttle(actions)
        return out, BY_THROTTLE

    def advance(self, command: np.ndarray, control: int) -> tuple[np.ndarray, np.ndarray]:
        """As the kart's. Who does not want to drive is not stuck."""
        idle, kart = command[:, 1] <= STANDING, self.karts[:, 0]
        kart[idle, c.MARK], kart[idle, c.IDLE] = kart[idle, c.PROGRESS], 0.0
        return super().advance(command, control)

    def camera(self) -> np.ndarray:
        """The cameras' pictures of this moment, uint8 [N, *CAMERA, 3]."""
        return self.pictures(self.eyes, self.poses)

    def observe(self) -> np.ndarray:
        """Fresh observations: the cameras' pictures as a driver's network sees them, uint8 [N, *OBSERVED]."""
        height, width, _ = OBSERVED
        return np.stack([preprocess.band(picture, height, width) for picture in self.camera()])

    def signs(self) -> tuple[np.ndarray, np.ndarray]:
        """Which sign each picture shows, and how far ahead; see `signs.seen`."""
        return signs.seen(self.scene, self.karts[:, 0], self.poses, self.eyes)

    def expert(self) -> np.ndarray:
        """The teacher's actions, float32 [N, 2]: the kart's expert at a calmer pace."""
        out = np.empty((self.num, 3), np.float32)
        # The actions under way are throttles; the kart's expert looks through them as it does through target speeds.
        expert_batch(out, self.karts, self.race, self.queue, self.scene, self.dynamics, BY_THROTTLE)
        target = self.options.pace * (out[:, 1] + 1.0) * 0.5 * TOP_SPEED
        out[:, 1] = np.clip(2.0 * target / self.options.top_speed - 1.0, -1.0, 1.0)
        return out[:, :2]

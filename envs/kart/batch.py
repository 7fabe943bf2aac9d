"""N races as arrays: beginning an episode, one step, pictures, labels, and the whole state as a dictionary."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from envs.kart import columns as c
from envs.kart import race
from envs.kart.camera import CAMERAS, POSE_COLUMNS, has_sensor, mount, rays, vary
from envs.kart.drivers import expert_batch
from envs.kart.looks import THEMES, make_look
from envs.kart.options import DISCRETE, DRIVABLE, KartOptions
from envs.kart.physics import BY_PEDAL, BY_SPEED, nominal_dynamics, place, stand
from envs.kart.picture import as_quads, develop_batch, drivable_batch, make_art, paint_batch, to_grey
from envs.kart.random import seed_word, uniform
from envs.kart.scene import new_paint, new_scene, put_look, put_track
from envs.kart.splits import look_seeds, parse_tracks, split_of
from envs.kart.track import make_track

WEATHER_GRIP = {"rain": 0.8, "snow": 0.65}
RENDERED = (360, 480)  # height and width of rendered pictures
_FRAME = np.uint64(0xD1342543DE82EF95)  # an odd number: picture words of successive steps are far apart


class KartBatch:
    """The games themselves, without Gymnasium. Everything that decides the future is in `state_dict`."""

    def __init__(self, num: int, options: KartOptions):
        self.num, self.options = num, options
        self.tracks = parse_tracks(options.tracks)
        self.rules = options.rules
        self.words = np.zeros(num, np.uint64)  # the games' random numbers
        self.picture_words = np.zeros(num, np.uint64)  # random numbers of noise, rain and snow, new for each episode
        self.episodes = np.zeros(num, np.int64)
        self.track = np.zeros(num, np.int64)
        self.look = np.zeros((num, 2), np.int64)  # theme and look seed
        self.karts = np.zeros((num, options.karts, c.KART_COLUMNS))
        self.race = np.zeros((num, c.RACE_COLUMNS))
        self.dynamics = np.tile(nominal_dynamics(), (num, 1))
        self.poses = np.zeros((num, POSE_COLUMNS))
        self.queue = np.zeros((num, c.MAX_DELAY + 1, 3))
        self.fallen = np.zeros((num, c.MAX_ITEMS), np.bool_)
        self.over = np.zeros(num, np.bool_)
        self.scene, self.paint = new_scene(num), new_paint(num)
        self._placed = np.full((num, 3), np.iinfo(np.int64).min)  # track and look that the slots hold
        self._art = make_art()
        self._threads = min(options.threads, num)
        self._pool = ThreadPoolExecutor(self._threads) if self._threads > 1 else None

    def seed(self, i: int, seed: int) -> None:
        """Fix environment i's random numbers from its next episode on."""
        self.words[i] = seed_word(seed)
        self.episodes[i] = 0

    def begin(self, i: int) -> None:
        """Begin an episode of environment i: track, look, camera, dynamics, places on the grid."""
        o = self.options

        def draw(low: float = 0.0, high: float = 1.0) -> float:
            return uniform(self.words, i, low, high)

        pick = int(draw() * len(self.tracks))
        if o.order == "cycle":
            pick = (i + int(self.episodes[i]) * self.num) % len(self.tracks)
        self.episodes[i] += 1
        self.track[i] = self.tracks[pick]
        theme = o.themes[int(draw() * len(o.themes))]
        seeds = look_seeds(split_of(int(self.track[i])))
        look_seed = seeds[int(draw() * len(seeds))] if o.random_looks else 0
        self.look[i] = THEMES.index(theme), look_seed
        self._fill_slot(i)

        self.poses[i] = mount(CAMERAS[o.camera])
        if o.random_camera:
            vary(self.poses[i], o.random_camera, draw)
        row = nominal_dynamics()
        for column, swing in ((c.GRIP, 0.15), (c.POWER, 0.2), (c.BRAKE, 0.2), (c.STEER_GAIN, 0.2), (c.DRAG, 0.2)):
            row[column] *= 1.0 + o.random_dynamics * draw(-swing, swing)
        row[c.STEER_BIAS] = o.random_dynamics * draw(-0.05, 0.05)
        row[c.GRIP] *= o.grip * (WEATHER_GRIP.get(theme, 1.0) if o.weather_grip else 1.0)
        self.dynamics[i] = row

        self.queue[i] = 0.0
        self.queue[i, :, 1:] = -1.0 if o.control == "speed" else 0.0
        self.fallen[i] = False
        self.over[i] = False
        self.race[i] = 0.0
        self.race[i, [c.LAST_LAP, c.BEST_LAP, c.FINISH]] = np.nan
        self.race[i, c.DELAY] = o.latency + int(draw() * (o.random_latency + 1))
        self.picture_words[i] = seed_word(int(draw() * 2**53))
        self._line_up(i, draw)

    def _line_up(self, i: int, draw) -> None:
        """Stand the karts of environment i at their places."""
        scene, o = self.scene, self.options
        line, n, step, half = scene.line[i], scene.count[i], scene.step[i], scene.half[i]
        length = n * step
        rolling = o.start == "random"
        origin = draw() * length if rolling else 0.0
        for k in range(o.karts):
            kart = self.karts[i, k]
            kart[:] = 0.0
            if rolling:  # the player anywhere, the others around it
                ahead = 7.0 * ((k + 1) // 2) * (1 if k % 2 else -1)
                pace = line[int((origin + ahead) / step) % n, c.PACE]
                tilt, speed = (draw(-0.25, 0.25), draw(0.0, 0.85) * pace) if k == 0 else (0.0, 0.6 * pace)
                offset = draw(-0.6, 0.6) * half
            else:  # two columns behind the line, the player last
                slot = o.karts - 1 - k
                ahead, tilt, speed = -(3.0 + 3.0 * slot), 0.0, 0.0
                offset = 0.0 if o.karts == 1 else (1.3 if slot % 2 else -1.3)
            stand(kart, line, n, step, half, origin + ahead, offset, tilt, speed)
            kart[c.PROGRESS] = kart[c.MARK] = ahead
            kart[c.SKILL] = 1.0 if k == 0 else o.rival_speed * (1.0 + draw(-0.04, 0.04))
            place(kart, line, n, step, half)
        self.race[i, c.PLACE] = 1.0 + (self.karts[i, 1:, c.PROGRESS] > self.karts[i, 0, c.PROGRESS]).sum()

    def _fill_slot(self, i: int) -> None:
        """Copy track and look of environment i into its slots, unless they are there."""
        wanted = (self.track[i], *self.look[i])
        if wanted[0] != self._placed[i, 0]:
            put_track(self.scene, i, make_track(int(wanted[0])))
        if wanted[1:] != tuple(self._placed[i, 1:]):
            put_look(self.paint, i, make_look(THEMES[wanted[1]], int(wanted[2]), float(self.options.random_looks)))
        self._placed[i] = wanted

    def _share(self, work) -> None:
        """Call work(low, high) for all environments, in one or several threads."""
        if self._pool is None:
            work(0, self.num)
            return
        edges = np.linspace(0, self.num, self._threads + 1).astype(int)
        for future in [self._pool.submit(work, int(a), int(b)) for a, b in zip(edges, edges[1:], strict=False)]:
            future.result()

    def command(self, actions: np.ndarray) -> tuple[np.ndarray, int]:
        """Actions of the option `control` as steering, what drives, and hand brake, float64 [N, 3]; and what it is that
        drives (`physics.pedal_of`)."""
        if self.options.control == "discrete":
            return DISCRETE[actions].astype(np.float64), BY_PEDAL
        out = np.full((self.num, 3), -1.0)
        out[:, : actions.shape[1]] = actions
        if self.options.control != "speed":
            return out, BY_PEDAL
        out[:, 1] = (out[:, 1] + 1.0) * 0.5 * race.TOP_SPEED
        return out, BY_SPEED

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One step of every race that is not over; returns reward float64 [N] and ending int64 [N] (see `race`)."""
        return self.advance(*self.command(actions))

    def advance(self, command: np.ndarray, control: int) -> tuple[np.ndarray, np.ndarray]:
        """`step` with what `command` gives."""
        reward, ending = np.zeros(self.num), np.zeros(self.num, np.int64)
        active = ~self.over

        def work(low: int, high: int) -> None:
            race.step_batch(
                low, high, self.karts, self.race, self.dynamics, self.queue, self.fallen, self.scene, command,
                control, self.rules, self.words, active, reward, ending,
            )  # fmt: skip

        self._share(work)
        self.over |= ending != race.GOES_ON
        return reward, ending

    def observe(self) -> np.ndarray:
        """Fresh observations of the races as they stand, [N, *frame]; the same again if called again."""
        if self.options.obs == "state":
            return self.numbers()
        height, width, channels, top, bottom = self.options.picture
        picture = self.pictures(rays(CAMERAS[self.options.camera], width, height, top, bottom), self.poses)
        if channels:
            return picture
        out = np.empty((self.num, height, width), np.uint8)
        self._share(lambda low, high: to_grey(picture, out, low, high))
        return out

    def numbers(self) -> np.ndarray:
        """The observation `state`, float32 [N, NUMBERS]; see `race.numbers_batch`."""
        out = np.empty((self.num, c.NUMBERS), np.float32)
        race.numbers_batch(out, self.karts, self.scene)
        return out

    def pictures(self, eyes, poses: np.ndarray) -> np.ndarray:
        """Colour pictures uint8 [N, H, W, 3] through any camera."""
        out = np.empty((self.num, *eyes.right.shape, 3), np.uint8)
        words = self.picture_words + self.race[:, c.STEPS].astype(np.uint64) * _FRAME

        def work(low: int, high: int) -> None:
            paint_batch(
                out, quads, low, high, eyes, poses, self.scene, self.paint, self._art, self.karts, self.fallen, words
            )  # fmt: skip

            if sensor:
                develop_batch(out, low, high, eyes, poses, self._art, self.karts, words)

        sensor, quads = has_sensor(poses, eyes), as_quads(out)
        self._share(work)
        return out

    def rendered(self) -> np.ndarray:
        """Pictures for people, uint8 [N, 360, 480, 3], without figures on them."""
        camera = CAMERAS[self.options.view]
        return self.pictures(rays(camera, RENDERED[1], RENDERED[0]), np.tile(mount(camera), (self.num, 1)))

    def drivable(self) -> np.ndarray:
        """The drivable-area label, uint8 [N, 15, 20], aligned with the observation's picture."""
        _, _, _, top, bottom = self.options.picture
        out = np.empty((self.num, *DRIVABLE), np.uint8)
        eyes = rays(CAMERAS[self.options.camera], DRIVABLE[1], DRIVABLE[0], top, bottom)
        drivable_batch(out, eyes, self.poses, self.scene, self.karts)
        return out

    def expert(self) -> np.ndarray:
        """The teacher's actions in the form of `control`: float32 [N, 2] or [N, 3], or int64 [N]."""
        out = np.empty((self.num, 3), np.float32)
        control = self.options.control
        kind = BY_SPEED if control == "speed" else BY_PEDAL
        expert_batch(out, self.karts, self.race, self.queue, self.scene, self.dynamics, kind)
        if control == "discrete":
            distance = (out[:, None, 0] - DISCRETE[:13, 0]) ** 2 + 0.25 * (out[:, None, 1] - DISCRETE[:13, 1]) ** 2
            return distance.argmin(axis=1)
        return out[:, :2] if control == "speed" else out

    STATE = ("words", "picture_words", "episodes", "track", "look", "karts", "race", "dynamics", "poses", "queue",
             "fallen", "over")  # fmt: skip

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of every array that decides the future."""
        return {name: getattr(self, name).copy() for name in self.STATE}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Go on exactly where `state_dict` was taken. Raises ValueError for a state of another shape."""
        for name in self.STATE:
            shape = getattr(self, name).shape
            if name not in state or np.shape(state[name]) != shape:
                got = np.shape(state[name]) if name in state else "nothing"
                raise ValueError(f"state: {name} must have shape {shape}, not {got}")
        for name in self.STATE:
            getattr(self, name)[...] = state[name]
        for i in range(self.num):
            self._fill_slot(i)

    def close(self) -> None:
        """End the threads, if there are any."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

"""Geometry and physics of Flappy Bird, one compiled function per rule.

The numbers are those of the game inside yenchenlin/DeepLearningFlappyBird, a trimmed FlapPyBird. Positions
are pixels of a picture of 288 x 512, x to the right, y *down*; (x, y) of the bird and of a pipe is the upper
left corner of its box; one frame is 1/30 s. Order within a frame, as there: action, point, fall, pipes move,
spawn, remove, crash.

Where the original relies on its speed of exactly 4, the rule here says the same thing for every speed (each
pipe counts once, when its centre has reached the bird's; the spawning rule fires once per pipe); at 4 they
agree.

Collision is exact to the pixel of the drawn picture: everything is drawn at the floor of its position, and
the bird crashes when one of its drawn pixels is also a pixel of a pipe, or when its lowest row is a row of
the ground. The bird's silhouette is the same in all phases of the wing, so the crash does not depend on the
animation.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from envs.flappy.facts import HARDEST_GAP, HARDEST_SPEED, HEIGHT
from envs.flappy.facts import WIDTH as WIDTH

BIRD_WIDTH, BIRD_HEIGHT = 34, 24  # size of the bird, px
BIRD_X = 57  # int(0.2 * 288), fixed
BIRD_CENTRE = BIRD_X + BIRD_WIDTH / 2  # column 74, where a point is made
START_Y = 244.0
GROUND_Y = 0.79 * HEIGHT  # 404.48: a falling bird stops on it
GROUND_ROW = 403  # first drawn row of the ground: y + 24 >= 403.48 of the original, for whole y
MAX_FALL = 10.0  # px per frame: no gravity from this velocity on
PIPE_WIDTH = 52
CAP_HEIGHT, BODY_INSET = 24, 2  # the cap at the gap is 52 wide, the body behind it 48
GAP_CENTRES, GAP_CENTRE_STEP, FIRST_GAP_CENTRE = 8, 10, 150  # 150, 160, ... 220: gaps 100..200 to 170..270
FIRST_PIPE_X, SECOND_PIPE_X, NEW_PIPE_X = 288.0, 432.0, 298.0
SPAWN_X = 5.0  # place of the first pipe, px, left of which a new pipe comes
SLOTS = 6  # pipes alive at once, at most: spacing >= 100 leaves 5 between -52 and 298
GAME, LOOKS = 0, 1  # the two random streams of an environment: colours never change the pipes


class FlappyRules(NamedTuple):
    """The numbers of `FlappyOptions` that the kernels need."""

    gap: int
    speed: float
    speed_spread: float
    spacing: float
    flap: float
    gravity: float
    ramp: int
    cap: int
    frame_skip: int
    practice: float
    drill: float
    reward: int  # index into REWARDS
    light: int  # 0 day, 1 night, 2 drawn per episode
    random_colours: bool
    random_background: bool


def game_type(colours: int) -> np.dtype:
    """One game as a record; it holds everything that decides its future, the generators included."""
    fields = [
        ("y", np.float64),
        ("velocity", np.float64),  # px per frame, positive is down
        ("speed", np.float64),  # px per frame of this episode, before the ramp
        ("gap", np.float64),  # px of this episode, before the ramp
        ("travelled", np.float64),  # px that the world has moved in this episode
        ("pipe_x", np.float64, SLOTS),  # leftmost first
        ("gap_top", np.int64, SLOTS),  # first free row
        ("gap_bottom", np.int64, SLOTS),  # first row of the lower pipe
        ("pipes", np.int64),  # slots in use
        ("passed", np.int64),  # how many of them have given their point
        ("frames", np.int64),  # frames of this episode
        ("score", np.int64),  # pipes passed
        ("streams", np.uint64, 2),  # splitmix64 (GAME, LOOKS)
        ("over", np.int64),  # 1: the next step begins an episode
        ("backdrop", np.int64),  # which background
        ("palette", np.float32, (colours, 3)),  # 0..255
    ]
    return np.dtype(fields, align=True)


def silhouette(scale: int = 1) -> np.ndarray:
    """The bird's shape, bool [24 * scale, 34 * scale]: a disc with tail (left) and beak (right)."""
    y, x = (np.mgrid[: BIRD_HEIGHT * scale, : BIRD_WIDTH * scale] + 0.5) / scale
    body = (x - 15.5) ** 2 + (y - 12) ** 2 <= 12**2
    beak = (x > 15) & (np.abs(y - 13.5) <= 0.9 + 0.42 * (BIRD_WIDTH - x))
    tail = (x < 15) & (np.abs(y - 8.5) <= 1.6 + 0.28 * x)
    return body | (beak & (y > 5)) | tail


_SHAPE = silhouette()
BIRD_LEFT = _SHAPE.argmax(1)  # [24] first column of each row
BIRD_RIGHT = BIRD_WIDTH - _SHAPE[:, ::-1].argmax(1)  # [24] one past the last


@njit(cache=True, nogil=True)
def random_bits(game, which):
    """Next 64 bits of a stream (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)."""
    game.streams[which] += np.uint64(0x9E3779B97F4A7C15)
    z = game.streams[which]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True)
def random_unit(game, which):
    """Uniform float64 in [0, 1)."""
    return np.float64(random_bits(game, which) >> np.uint64(11)) * 2.0**-53


@njit(cache=True, nogil=True)
def hardness(game, rules):
    """0 at the start of an episode, 1 after `ramp` pipes; 0 for ever without a ramp."""
    return min(1.0, game.score / rules.ramp) if rules.ramp > 0 else 0.0


@njit(cache=True, nogil=True)
def current_speed(game, rules):
    """Pixels that the pipes move in the next frame."""
    return game.speed * (1.0 + (HARDEST_SPEED - 1.0) * hardness(game, rules))


@njit(cache=True, nogil=True)
def add_pipe(game, rules, x):
    """A pipe at column `x` joins the game, with a gap at a random height."""
    slot = game.pipes
    height = np.int64(random_unit(game, GAME) * GAP_CENTRES)
    gap = round(game.gap * (1.0 - (1.0 - HARDEST_GAP) * hardness(game, rules)))
    game.pipe_x[slot] = x
    game.gap_top[slot] = FIRST_GAP_CENTRE + GAP_CENTRE_STEP * height - gap // 2
    game.gap_bottom[slot] = game.gap_top[slot] + gap
    game.pipes = slot + 1


@njit(cache=True, nogil=True)
def begin(game, rules):
    """The first frame of an episode: bird in the air, two pipes right of the picture."""
    game.y, game.velocity, game.travelled = START_Y, 0.0, 0.0
    game.frames, game.score, game.pipes, game.passed = 0, 0, 0, 0
    game.over = 0
    game.speed = rules.speed
    if rules.speed_spread > 0.0:
        game.speed *= 1.0 + rules.speed_spread * (2.0 * random_unit(game, GAME) - 1.0)
    game.gap = rules.gap
    if rules.practice > 0.0:
        game.gap *= 1.0 - rules.practice * random_unit(game, GAME)
    add_pipe(game, rules, FIRST_PIPE_X)
    add_pipe(game, rules, FIRST_PIPE_X + rules.spacing if rules.spacing > 0.0 else SECOND_PIPE_X)


@njit(cache=True, nogil=True)
def crashed(game):
    """True where a drawn pixel of the bird is also one of a pipe or of the ground."""
    y = math.floor(game.y)
    if y + BIRD_HEIGHT > GROUND_ROW:
        return True
    for k in range(game.pipes):
        x = math.floor(game.pipe_x[k])
        top, bottom = game.gap_top[k], game.gap_bottom[k]
        if x >= BIRD_X + BIRD_WIDTH or x + PIPE_WIDTH <= BIRD_X or (y >= top and y + BIRD_HEIGHT <= bottom):
            continue
        for r in range(BIRD_HEIGHT):
            row = y + r
            if top <= row < bottom:
                continue
            inset = 0 if top - CAP_HEIGHT <= row < bottom + CAP_HEIGHT else BODY_INSET
            if BIRD_X + BIRD_RIGHT[r] > x + inset and BIRD_X + BIRD_LEFT[r] < x + PIPE_WIDTH - inset:
                return True
    return False


@njit(cache=True, nogil=True)
def advance(game, rules, flap):
    """One frame of a game; returns (points made, crashed)."""
    speed = current_speed(game, rules)
    points = 0
    for k in range(game.passed, game.pipes):
        if game.pipe_x[k] + PIPE_WIDTH / 2 > BIRD_CENTRE:
            break
        points += 1
    game.passed += points
    game.score += points

    if flap:
        game.velocity = -rules.flap  # no gravity in this frame
    elif game.velocity < MAX_FALL:
        game.velocity += rules.gravity
    fall = min(game.velocity, GROUND_Y - game.y - BIRD_HEIGHT)
    game.y = max(0.0, game.y + fall)  # the ceiling stops the bird and does not hurt

    for k in range(game.pipes):
        game.pipe_x[k] -= speed
    newest = game.pipe_x[game.pipes - 1]
    if rules.spacing > 0.0:
        if newest + rules.spacing <= NEW_PIPE_X:
            add_pipe(game, rules, newest + rules.spacing)
    elif game.pipes == 2 and game.pipe_x[0] < SPAWN_X:
        add_pipe(game, rules, NEW_PIPE_X)
    if game.pipe_x[0] < -PIPE_WIDTH:
        for k in range(1, game.pipes):
            game.pipe_x[k - 1] = game.pipe_x[k]
            game.gap_top[k - 1] = game.gap_top[k]
            game.gap_bottom[k - 1] = game.gap_bottom[k]
        game.pipes -= 1
        game.passed -= 1
    game.travelled += speed
    game.frames += 1
    return points, crashed(game)


@njit(cache=True, nogil=True)
def play(game, rules, flap):
    """One action: `frame_skip` frames, a flap acts in the first; returns (reward, terminated, truncated).

    Per frame "seed" gives +0.1, exactly +1 instead on a point and exactly -1 instead on a crash; "score"
    gives the points; "score_crash" gives the points, and -1 instead on a crash.
    """
    reward = 0.0
    for frame in range(rules.frame_skip):
        points, crash = advance(game, rules, flap and frame == 0)
        if crash and rules.reward != 1:
            reward -= 1.0
        elif rules.reward == 0 and points == 0:
            reward += 0.1
        else:
            reward += points
        if crash:
            return reward, True, False
        if 0 < rules.cap <= game.score:
            return reward, False, True
    return reward, False, False

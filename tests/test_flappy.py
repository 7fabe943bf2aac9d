"""Flappy Bird: the compiled game against a slow and literal one, over whole episodes."""

import numpy as np
import pytest

import envs
from envs.batches import environment_seeds
from envs.flappy import rules
from envs.flappy.env import FlappyOptions, make, make_vec

MASK = 2**64 - 1


class Reference:
    """One game, written as in the original with lists of pipes, and its collision pixel by pixel."""

    def __init__(self, seed, options):
        self.o = options
        self.stream = int(np.random.SeedSequence(seed).generate_state(2, np.uint64)[0])
        self.bird = np.argwhere(rules.silhouette())  # rows and columns of the drawn pixels
        self.begin()

    def random_bits(self):
        self.stream = (self.stream + 0x9E3779B97F4A7C15) & MASK
        z = self.stream
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def pipe(self, x):
        hard = min(1, self.score / self.o.ramp) if self.o.ramp else 0
        gap = round(self.o.gap * (1 - 0.2 * hard))
        top = 80 + [20, 30, 40, 50, 60, 70, 80, 90][self.random_bits() >> 61] + 50 - gap // 2
        return {"x": x, "top": top, "bottom": top + gap, "counted": False, "answered": False}

    def begin(self):
        self.y, self.velocity, self.score = 244.0, 0.0, 0
        self.pipes = [self.pipe(288.0)]
        self.pipes.append(self.pipe(288.0 + (self.o.spacing or 144)))

    def frame(self, flap):
        """Returns (reward, crashed)."""
        original = self.o.speed == 4 and not self.o.ramp
        hard = min(1, self.score / self.o.ramp) if self.o.ramp else 0
        speed = self.o.speed * (1 + 0.25 * hard)
        reward = 0.1 if self.o.reward == "seed" else 0
        if flap:
            self.velocity = -self.o.flap
        for pipe in self.pipes:
            middle = pipe["x"] + 52 / 2
            due = middle <= 74 and not pipe["counted"]
            if original:
                assert due == (middle <= 74 < middle + 4)
            if due:
                pipe["counted"] = True
                self.score += 1
                reward = 1
        if self.velocity < 10 and not flap:
            self.velocity += self.o.gravity
        self.y += min(self.velocity, 512 * 0.79 - self.y - 24)
        if self.y < 0:
            self.y = 0.0
        for pipe in self.pipes:
            pipe["x"] -= speed
        if self.o.spacing:
            if self.pipes[-1]["x"] + self.o.spacing <= 298:
                self.pipes.append(self.pipe(self.pipes[-1]["x"] + self.o.spacing))
        else:
            first = self.pipes[0]
            spawn = first["x"] < 5 and not first["answered"]
            if original:
                assert spawn == (0 < first["x"] < 5)
            if spawn:
                first["answered"] = True
                self.pipes.append(self.pipe(298.0))
        if self.pipes[0]["x"] < -52:
            self.pipes.pop(0)
        crash = self.crashed()
        if crash and self.o.reward != "score":
            reward = -1
        return reward, crash

    def crashed(self):
        rows, columns = self.bird[:, 0] + int(self.y), self.bird[:, 1] + 57
        if (rows >= 403).any():
            return True
        for pipe in self.pipes:
            x = int(np.floor(pipe["x"]))
            if x >= 57 + 34 or x + 52 <= 57:
                continue
            gap = (rows >= pipe["top"]) & (rows < pipe["bottom"])
            cap = (rows >= pipe["top"] - 24) & (rows < pipe["bottom"] + 24)
            narrow, wide = (columns >= x + 2) & (columns < x + 50), (columns >= x) & (columns < x + 52)
            if (~gap & np.where(cap, wide, narrow)).any():
                return True
        return False

    def play(self, action):
        """One action of `frame_skip` frames: (reward, terminated, truncated)."""
        total = 0.0
        for k in range(self.o.frame_skip):
            reward, crash = self.frame(action and k == 0)
            total += reward
            if crash:
                return total, True, False
            if self.o.cap and self.score >= self.o.cap:
                return total, False, True
        return total, False, False

    def sensible(self):
        """Flap when low in the next gap: passes a few pipes."""
        ahead = next(p for p in self.pipes if p["x"] + 52 > 57)
        return int(self.y + self.velocity + 1 > ahead["bottom"] - 24 - 14)


def compare(num_envs, seed, steps, **choice):
    """Plays one episode per game beside the reference; returns (crashes, time limits, highest score)."""
    options = FlappyOptions(obs="state", **choice)
    env = make_vec(num_envs, obs="state", **choice)
    seeds = environment_seeds(seed, num_envs)
    env.reset(seed=seed)
    games = [Reference(s, options) for s in seeds]
    rng = np.random.default_rng(seed)
    noise = np.where(np.arange(num_envs) % 2, 0.02, 1.0)  # every second player is random all the time
    rate = rng.uniform(0.02, 0.6, num_envs)
    alive = set(range(num_envs))
    crashes = limits = best = 0
    for _ in range(steps):
        random = rng.random(num_envs) < noise
        actions = (rng.random(num_envs) < rate).astype(np.int64)
        for i in alive:
            if not random[i]:
                actions[i] = games[i].sensible()
        _, rewards, terminated, truncated, info = env.step(actions)
        state = env.state_dict()
        bird = np.stack([state["y"], state["velocity"], info["score"]], 1).tolist()
        pipes = np.stack([state["pipe_x"], state["gap_top"], state["gap_bottom"]], 2).tolist()
        for i in sorted(alive):
            game = games[i]
            assert (rewards[i], terminated[i], truncated[i]) == game.play(actions[i])
            assert bird[i] == [game.y, game.velocity, game.score]
            wanted = [[pipe["x"], pipe["top"], pipe["bottom"]] for pipe in game.pipes]
            assert pipes[i][: state["pipes"][i]] == wanted
            crashes, limits = crashes + terminated[i], limits + truncated[i]
            best = max(best, game.score)
            if terminated[i] or truncated[i]:
                alive.remove(i)
        if not alive:
            break
    return crashes, limits, best


def test_physics_equals_the_literal_game_over_1000_episodes():
    crashes, limits, best = compare(1000, seed=1, steps=400, cap=2)
    assert crashes + limits == 1000
    assert crashes > 600 and limits > 100 and best == 2


def test_pipes_keep_the_originals_rhythm_over_a_long_game():
    crashes, limits, best = compare(20, seed=5, steps=900, cap=20)
    assert best >= 10


@pytest.mark.parametrize(
    "choice",
    [
        {"speed": 4.8, "reward": "score"},
        {"speed": 2.5, "gravity": 0.7, "flap": 7.5, "reward": "score_crash"},
        {"spacing": 110, "gap": 131, "frame_skip": 3},
        {"spacing": 290, "speed": 7.5, "gap": 160, "cap": 2},
        {"ramp": 3, "gap": 110, "reward": "score_crash"},
    ],
)
def test_physics_under_options(choice):
    crashes, _, best = compare(60, seed=2, steps=220, **choice)
    assert crashes > 20 and best >= 2


def scripted(policy, seed=0, **choice):
    """(return, steps, score) of one episode of policy(reference) from a given seed."""
    env = make(obs="state", **choice)
    env.reset(seed=seed)
    game = Reference(seed, FlappyOptions(**choice))
    total, steps = 0.0, 0
    while True:
        action = policy(game)
        game.play(action)
        _, reward, terminated, truncated, info = env.step(action)
        total, steps = total + reward, steps + 1
        if terminated or truncated:
            return total, steps, info["score"]


@pytest.mark.parametrize("seed", range(5))
def test_reference_values(seed):
    assert scripted(lambda game: 0, seed) == (pytest.approx(0.8), 19, 0)
    assert scripted(lambda game: 1, seed) == (pytest.approx(3.9), 50, 0)
    rng = np.random.default_rng(seed)
    assert scripted(lambda game: int(rng.random() < 0.5), seed) == (pytest.approx(3.9), 50, 0)


def test_first_point_falls_on_step_61_and_returns_tell_it():
    env = make(obs="state")
    found = False
    for seed in range(20):
        env.reset(seed=seed)
        game = Reference(seed, FlappyOptions())
        total = 0.0
        for step in range(1, 200):
            action = game.sensible() if step <= 60 + seed else 0
            game.play(action)
            _, reward, terminated, _, info = env.step(action)
            total += reward
            if reward == 1:
                assert step >= 61
                found = found or step == 61
            if terminated:
                break
        assert (total <= 5) == (info["score"] == 0) and (total >= 6) == (info["score"] >= 1)
    assert found


def test_cap_is_a_time_limit_and_score_counts_pipes():
    def expert(game):
        return game.sensible()

    for reward in ("seed", "score", "score_crash"):
        total, steps, score = scripted(expert, seed=1, cap=2, reward=reward)
        assert score == 2 and steps == 97  # 60 + 36 frames to the second pipe, and one
        assert total == pytest.approx({"seed": 9.5 + 2, "score": 2, "score_crash": 2}[reward])
    env = make_vec(1, obs="state", cap=1)
    env.reset(seed=[1])
    game = Reference(1, FlappyOptions())
    for _ in range(61):
        action = game.sensible()
        game.play(action)
        _, _, terminated, truncated, info = env.step(np.array([action]))
    assert truncated[0] and not terminated[0] and info["score"][0] == 1


def test_ramp_and_speed_spread():
    env = make_vec(200, obs="state", speed_spread=0.5)
    speed = env.reset(seed=0)[0][:, 2]
    assert 0.5 <= speed.min() < 0.55 and 1.45 < speed.max() <= 1.5
    env = make_vec(1, obs="state", ramp=10)
    env.reset(seed=0)
    state = env.state_dict()
    for score, wanted in ((0, 1.0), (5, 1.125), (10, 1.25), (50, 1.25)):
        state["score"][:] = score
        env.load_state_dict(state)
        assert env.observe()[0, 2] == pytest.approx(wanted)


def test_practice_narrows_the_gaps_of_training_and_of_nothing_else():
    env = make_vec(300, obs="state", narrow_gap=0.2, gap=120)
    env.reset(seed=0)
    state = env.state_dict()
    gaps = state["gap_bottom"][:, :2] - state["gap_top"][:, :2]
    assert (gaps[:, 0] == gaps[:, 1]).all()  # one for the whole episode
    assert 96 <= gaps.min() < 99 and 117 < gaps.max() <= 120
    values = {"narrow_gap": 0.2, "gap": 120, "frame_skip": 2}
    assert envs.scored("flappy", values) == {"gap": 120, "frame_skip": 2}
    assert env.metadata["protocol"] == make_vec(1, gap=120).metadata["protocol"]

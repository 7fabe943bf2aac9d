"""What the compiled games share: seeds, and the window of a single game."""

import numpy as np
import pytest

import envs
from envs.batches import batch_seeds, environment_seeds, of_one


def test_seeds_of_a_batch() -> None:
    assert batch_seeds([3, np.int64(4)], 2) == [3, 4]
    assert batch_seeds(11, 3) == environment_seeds(11, 3) and len(set(batch_seeds(11, 3) + batch_seeds(12, 3))) == 6
    for wrong in (-1, 1.5, [1, -1], ["a", 1]):
        with pytest.raises(ValueError, match="seed must consist of whole numbers from 0"):
            batch_seeds(wrong, 2)
    with pytest.raises(ValueError, match="seed must be one integer or 2 of them, not 3"):
        batch_seeds([1, 2, 3], 2)


def test_the_info_of_one_game_is_numbers_without_masks() -> None:
    info = {"score": np.float64([1.5]), "_score": np.array([True]), "legal": np.ones((1, 3), bool)}
    one = of_one(info | {"episode": {"laps": np.int64([2])}})
    assert one["score"] == 1.5 and type(one["score"]) is float and one["legal"].shape == (3,)
    assert one["episode"] == {"laps": 2} and "_score" not in one


def test_a_window_opens_as_large_as_the_game_says_and_waits_for_nobody_who_takes_turns(monkeypatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    import pygame

    kart = envs.make("kart", render_mode="human", tracks="oval", obs="state")
    kart.reset(seed=0)
    shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    copy = envs.make("kart", render_mode="rgb_array", tracks="oval", obs="state")
    copy.reset(seed=0)
    assert np.array_equal(shown, copy.render().repeat(2, 0).repeat(2, 1))  # 960x720, every pixel four times
    kart.close()
    go = envs.make("go", render_mode="human", size=5)
    go.reset()
    start = pygame.time.get_ticks()
    for point in range(6):
        go.step(point)
    assert pygame.time.get_ticks() - start < 1_500  # at two pictures a second it were 3,000
    go.close()

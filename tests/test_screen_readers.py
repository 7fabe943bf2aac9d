"""What stands on a window as numbers, and profiles: every one of them, and the sentences for what cannot be."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import screen_toy

import envs
from envs.screen import profile as profiles
from envs.screen import readers
from envs.screen.env import observe
from envs.screen.facts import ScreenOptions


def written(text: str, height: int = 20, width: int = 90, at: tuple[int, int] = (6, 10)) -> np.ndarray:
    """White digits of the toy's font on a grey picture."""
    picture = np.full((height, width, 3), 60, np.uint8)
    for i, sign in enumerate(text):
        glyph = readers.pattern_of(screen_toy.GLYPHS[sign])
        picture[at[0] : at[0] + 5, at[1] + 5 * i : at[1] + 5 * i + 3][glyph] = 255
    return picture


DIGITS = readers.ScreenReader("digits", (0, 0, 90, 20), glyphs=screen_toy.GLYPHS)


@pytest.mark.parametrize("text", ["0", "7", "1234567890", "5501", "88888888"])
def test_digits_are_read(text: str) -> None:
    assert DIGITS.read(written(text)) == float(text)


def test_a_digit_of_one_wrong_pixel_is_read_and_a_spoiled_one_is_not() -> None:
    picture = written("8")
    picture[8, 11] = 255  # a pixel of the middle: 8 differs from all others by more than one
    assert DIGITS.read(picture) == 8.0
    picture[6:11, 10:13] = np.random.default_rng(1).integers(0, 2, (5, 3, 1)) * 255
    picture[6, 10:13] = picture[10, 10:13] = 255
    seen = DIGITS.read(picture)
    assert seen is None or seen == int(seen)
    assert DIGITS.read(np.zeros((20, 90, 3), np.uint8)) is None
    assert DIGITS.read(np.full((20, 90, 3), 255, np.uint8)) is None  # all of the box is ink: no digit


def test_spots_are_counted_and_shares_are_shares() -> None:
    picture = np.zeros((10, 40, 3), np.uint8)
    for i in range(3):
        picture[2:7, 4 + 9 * i : 9 + 9 * i] = (200, 20, 10)
    picture[2, 35] = (200, 20, 10)
    colour = dict(box=(0, 0, 40, 10), colour=(200, 20, 10), tolerance=8)
    assert readers.ScreenReader("blobs", **colour).read(picture) == 4
    assert readers.ScreenReader("blobs", smallest=5, **colour).read(picture) == 3
    assert readers.ScreenReader("share", **colour).read(picture) == pytest.approx((3 * 25 + 1) / 400)
    assert readers.ScreenReader("share", (0, 0, 40, 10), threshold=10, dark=True).read(picture) == pytest.approx(
        1 - (3 * 25 + 1) / 400
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [("12", 12.0), ("1:02.5", 62.5), ("-3", -3.0), ("2:00:01", 7201.0), ("", None), ("1?", None), ("a", None)],
)
def test_numbers(text: str, value: float | None) -> None:
    assert readers.number(text) == value


def test_a_title_is_read() -> None:
    reader = readers.ScreenReader("title", pattern=r"score (\d+)")
    assert reader.read(np.zeros((1, 1, 3), np.uint8), "Game: score 120 of 200") == 120.0
    assert reader.read(np.zeros((1, 1, 3), np.uint8), "Game") is None


@pytest.mark.parametrize(
    ("values", "sentence"),
    [(dict(kind="smell"), "choose digits"), (dict(kind="digits", box=[0, 0, 5, 5]), "need glyphs"),
     (dict(kind="share", box=[5, 0, 5, 5]), "left, top, right, bottom"),
     (dict(kind="title", pattern="x"), "parentheses"),
     (dict(kind="share", boks=[1]), "has no 'boks'"),
     (dict(kind="digits", box=[0, 0, 5, 5], glyphs={"1": "#. ##."}), "rows of # and .")],
)  # fmt: skip
def test_a_reader_that_cannot_be_is_refused(values: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        readers.reader_of(values)


def test_patterns_are_text_and_back() -> None:
    mask = np.random.default_rng(0).random((5, 4)) > 0.5
    assert np.array_equal(readers.pattern_of(readers.text_of(mask)), mask)


@pytest.mark.parametrize("name", profiles.names())
def test_every_profile_is_whole(name: str) -> None:
    found = profiles.load(name)
    assert found.title and found.about and found.licence and found.command and found.window is not None
    assert found.score or found.unreadable, "a game without a score says why"
    assert found.install.startswith("apt-get install ") or found.licence == "MIT"
    assert len(found.actions) >= 2 and found.keys
    for reader in found.readers.values():
        assert reader.box[2] <= found.size[0] and reader.box[3] <= found.size[1]
    about = envs.describe("screen", game=name)
    assert about.real_time and about.step_seconds == pytest.approx(1 / found.rate) and about.window
    assert about.actions.n == len(found.actions) and name in about.protocol


def test_there_are_eight_games_that_nobody_here_wrote() -> None:
    others = [name for name in profiles.names() if profiles.load(name).licence != "MIT"]
    assert len(others) >= 8 and "kart" in profiles.names()


GOOD = {"title": "x", "window": "x", "actions": {"nothing": [], "a": ["a"]}, "unreadable": "no"}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [({"colour": 1}, "no field 'colour'"), ({"actions": {"a": ["a"]}}, "must begin with one that holds no key"),
     ({"rate": 500.0}, "rate 500"), ({"over": ["lives < 1"]}, "no reader 'lives'"), ({"over": ["lives"]}, "condition"),
     ({"start": ["Return x"]}, "KEY SECONDS"), ({"masks": [[0, 0, 2, 1]]}, "shares of the window"),
     ({"axes": {"x": ["Left"]}}, "two keys"), ({"readers": {"s": {"kind": "no"}}}, "choose digits"),
     ({"window": "("}, "no regular expression"), ({"rate": "fast"}, "must be a number"),
     ({"actions": {"nothing": [], "a": "Left"}}, "must be a list of words"), ({"start": "Return"}, "must be a list"),
     ({"command": "game"}, "must be a list"), ({"start": ["Return 6"]}, "KEY SECONDS up to 5"),
     ({"over_ticks": 1.5}, "a whole number"), ({"files": ["a"]}, "a table"), ({"random": [1.0]}, "mean, low, high"),
     ({"size": [20, 20], "readers": {"s": {"kind": "share", "box": [0, 0, 30, 9]}}}, "beside the window")],
)  # fmt: skip
def test_a_profile_that_cannot_be_is_refused(more: dict, sentence: str) -> None:
    assert profiles.parse(GOOD, "x", "x.toml").title == "x"
    with pytest.raises(ValueError, match="x.toml: .*" + sentence):
        profiles.parse({**GOOD, **more}, "x", "x.toml")


def test_a_window_without_a_profile_becomes_one(tmp_path) -> None:
    made = profiles.of_words('My "game"', "left=Left,right=Right,jump=space+Up")
    assert made.actions == {"nothing": (), "left": ("Left",), "right": ("Right",), "jump": ("space", "Up")}
    path = tmp_path / "mine.toml"
    path.write_text(profiles.text_of(made))
    assert profiles.load(str(path)) == dataclasses.replace(made, name="mine")
    for keys in ("", "left", "left=", "=Left"):
        with pytest.raises(ValueError, match="keys"):
            profiles.of_words("x", keys)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [(dict(game="xracr"), "no such profile"), (dict(obs="colour"), "choose grey"), (dict(rate=90.0), "--rate 90"),
     (dict(window="x", xvfb=True), "name one of them"), (dict(keys="a=a"), "--window TITLE"),
     (dict(window="x(", keys="a=a"), "no regular expression"),
     (dict(game="xracer", expert_info=True, control="axes"), "press sets of keys"),
     (dict(control="wheel"), "choose keys"), (dict(window="x", keys="a=a", control="axes"), "has none"),
     (dict(expert_info=True), "no scripted player"), (dict(game="/no/such.toml"), "No such file")],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(values: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ScreenOptions(**values)


def test_masks_are_black_and_a_crop_is_a_part() -> None:
    picture = np.full((100, 200, 3), 200, np.uint8)
    one = profiles.parse({**GOOD, "masks": [[0, 0, 1, 0.25]], "size": [200, 100]}, "x", "x")
    seen = observe(picture, one, "grey")
    assert seen.shape == (84, 84) and (seen[:21] == 0).all() and (seen[21:] == 200).all() and (picture == 200).all()
    picture[:, 100:] = 0
    half = profiles.parse({**GOOD, "crop": [0.5, 0, 1, 1], "size": [200, 100]}, "x", "x")
    assert (observe(picture, half, "trunk") == 0).all() and observe(picture, half, "rgb").shape == (84, 84, 3)

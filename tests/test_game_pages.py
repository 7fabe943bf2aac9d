"""The pages of games are what the registry says today."""

from __future__ import annotations

from pathlib import Path

import pytest

import envs
from experiments import game_pages

PLACE = Path(__file__).resolve().parents[1] / "docs" / "games"


@pytest.mark.parametrize("name", game_pages.games())
def test_a_page_says_what_the_registry_says(name: str) -> None:
    made = game_pages.page(name)
    assert (PLACE / f"{name}.md").read_text() == made, "python -m experiments.list games --pages docs/games"
    assert game_pages.picture(name) or name == "car"
    for title in ("observation", "actions", "reward", "score", "protocol of scores"):
        assert f"| {title} | " in made
    for option in envs.defaults(name):
        assert f"`--{option.replace('_', '-')}`" in made


def test_every_game_of_the_lab_has_a_page() -> None:
    assert {path.stem for path in PLACE.glob("*.md")} == set(game_pages.games()) >= set(envs.GAMES)

"""A network that drives our own game directly and through its window: ``python -m experiments.windows.against RUN``

The same code as for games that nobody here wrote: pictures of the window, keys that are held for a share of a step. The
window is driven first, race by race; then the same races are driven directly, from the same seed. Autonomy is that of
`evaluate --tracks` (`experiments.driving.closed_loop`).

    python -m experiments.windows.against reference/kart/clone-s1 --races 10
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

import envs
from agents.core.evaluate import Policy
from agents.core.run import Run
from agents.core.stream import Stream
from envs.screen.ours import STARTED
from experiments import arguments, cli, finding, players
from experiments.arguments import Positional
from experiments.driving.closed_loop import COST, Watch, at_the_wheel


@dataclasses.dataclass(frozen=True)
class AgainstCommand:
    """Who drives, and how often."""

    run: Positional[str]  # a run that drives one of our own games
    races: int = 10  # races of a minute each, both ways
    runs: Path = Path("runs")  # folder of the run folders

    def __post_init__(self) -> None:
        arguments.within(self, 1, 1_000, "races")


def driven(games: Any, begun: Any, act: Any, races: int, names: tuple[str, str], rate: float) -> np.ndarray:
    """Interventions and seconds of each race, [races, 2].

    begun: what `reset` has answered. names: what `info` calls off the road, and rescues.
    """
    found = []
    obs, info = begun
    while len(found) < races:
        watch, ticks, over = Watch(1, rate), 0, False
        while not over:
            obs, _, terminated, truncated, info = games.step(np.clip(act(obs, info), -1.0, 1.0))
            missed = int(info["missed"][0]) if "missed" in info else 0  # ticks that a busy machine lost
            ticks, over = ticks + 1 + missed, bool(terminated[0] or truncated[0])
            watch(np.nan_to_num(info[names[0]]) > 0, np.nan_to_num(info[names[1]]))
        found.append((float(watch.count[0]), ticks / rate))
        if len(found) < races:
            obs, _, _, _, info = games.step(np.clip(act(obs, info), -1.0, 1.0))  # the next race begins
    return np.array(found)


def autonomy(found: np.ndarray) -> float:
    """0 to 1 over all races."""
    return max(0.0, 1.0 - COST * float(found[:, 0].sum() / found[:, 1].sum()))


def compare(run: Run, races: int) -> dict[str, Any]:
    """Both drives. Raises ValueError for a run that cannot drive this picture, or where there is no display."""
    game = run.config["game"]
    if game not in STARTED:
        raise ValueError(f"{run.path} plays {game}, which has no window of this kind; there is {', '.join(STARTED)}")
    device, obs = torch.device("cpu"), run.config["env"].get("obs", "trunk")
    torch.set_num_threads(1)
    window = envs.make_vec("screen", 1, game=game, xvfb=True, control="axes", obs=obs, seconds=3600.0)
    try:
        spec = Stream(window, device).spec
        agent, step = players.load_player(run, spec, device)
        rate = window.options.profile.rate

        def act() -> Any:
            return at_the_wheel(Policy(agent, agent.evaluation, spec, 1), spec, device)

        begun = window.reset(seed=[1])
        seed = window.games[0].session.seed  # the seed with which the game was started
        seen = driven(window, begun, act(), races, ("read/off", "read/rescues"), rate)
    finally:
        window.close()
    same = {name: value for name, value in STARTED[game].items() if name not in ("obs", "width", "height")}
    direct = envs.make_vec(game, 1, obs=obs, **same)
    try:
        straight = driven(direct, direct.reset(seed=[seed]), act(), races, ("off_road", "rescues"), rate)
    finally:
        direct.close()
    return {"step": step, "window": seen, "direct": straight, "lost": autonomy(straight) - autonomy(seen)}


def main() -> None:
    with cli.edge():
        command = arguments.read(AgainstCommand, None, __doc__, "windows.against")
        cli.starting(torch=True)
        with cli.refusing():
            found = compare(finding.find_run(command.runs, command.run), command.races)
        for name in ("direct", "window"):
            races, stops = len(found[name]), int(found[name][:, 0].sum())
            seconds = found[name][:, 1].sum()
            print(f"{name}: autonomy {100 * autonomy(found[name]):.1f} %, {stops} interventions in {seconds:.0f} s,"
                  f" {races} races")  # fmt: skip
        print(f"through the window {100 * found['lost']:.1f} points less")


if __name__ == "__main__":
    main()

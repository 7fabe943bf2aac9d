"""Weights after short trainings, to show that a change of the lab's structure changes nothing that is learned.

    git worktree add /tmp/before COMMIT
    python -m tests.goldens make /tmp/before before.json      what that commit learns
    python -m tests.goldens make . now.json                   what this one learns
    python -m tests.goldens compare before.json now.json      exit code 1 where a case differs

Both must be made on one machine: another processor rounds in another order. A case is a line of the command
`experiments.train`, which is the only interface that all commits share; the weights are read from its checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

STEPS = 2000
COMMON = ["--recipe", "none", "--steps", str(STEPS), "--seed", "3", "--eval-episodes", "0", "--video", "no"]
COMMON += ["--stages", "no", "--checkpoint-ring", "no", "--device", "cpu"]

ROLLOUT = ["--num-envs", "4", "--rollout", "50"]
MEMORY = ["--num-envs", "2", "--replay", "1500", "--warmup", "200"]
TEACHER = ["--num-envs", "2", "--batch", "16", "--expert-info", "True"]
GAMES = {
    "cartpole": (["gym:CartPole-v1"], []),
    "flappy": (["flappy"], ["--obs", "pixels"]),
    "kart": (["kart"], ["--tracks", "train:2", "--obs", "grey"]),
}
AGENTS = {  # agent and its options; kart's actions must be discrete for those that compare values
    "ppo": ["--agent", "ppo", *ROLLOUT],
    "a2c": ["--agent", "a2c", *ROLLOUT],
    "recurrent-ppo": ["--agent", "ppo", "--recurrent", "16", *ROLLOUT],
    "pqn": ["--agent", "pqn", *ROLLOUT],
    "dqn": ["--agent", "dqn", *MEMORY],
    "rainbow": ["--agent", "rainbow", *MEMORY],
}
TAUGHT = {
    "clone": ["--agent", "clone", "--warmup", "64", "--ratio", "4", *TEACHER],
    "dagger": ["--agent", "dagger", "--rows", "500", "--draws", "100", *TEACHER],
}


def cases() -> dict[str, list[str]]:
    """Name -> arguments of `experiments.train`, without those that all cases share."""
    found = {}
    for agent, options in AGENTS.items():
        for game, (name, env) in GAMES.items():
            discrete = ["--control", "discrete"] if game == "kart" and agent in ("pqn", "dqn", "rainbow") else []
            found[f"{agent} {game}"] = [*name, *options, *env, *discrete]
    for agent, options in TAUGHT.items():
        name, env = GAMES["kart"]
        found[f"{agent} kart"] = [*name, *options, *env]
        augmented = ["--flip", "0.5", "--shift", "0.08", "--road", "0.3", "--obs", "trunk"]
        found[f"{agent} kart, augmented, with the road"] = [*name, *options, *env[:2], *augmented]
    return found


def weights(root: Path, arguments: list[str]) -> str:
    """Digest of the agent's state after a training with the checkout at `root`. Raises RuntimeError where it fails."""
    from safetensors import safe_open

    with tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, "-m", "experiments.train", *arguments, *COMMON, "--runs", runs]
        environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip() or f"exit code {done.returncode}")
        (path,) = Path(runs).glob("**/checkpoints/*/agent.safetensors")
        parts = []
        with safe_open(path, "pt") as state:
            for name in state.keys():  # noqa: SIM118  it is no dict
                tensor = state.get_tensor(name)
                if tensor.is_floating_point() and tensor.ndim:
                    parts.append(
                        f"{tuple(tensor.shape)} {hashlib.sha256(tensor.double().numpy().tobytes()).hexdigest()}"
                    )
    # Sorted and each once: the names of layers are the lab's own affair, and a copy that acts is no second network.
    return hashlib.sha256("\n".join(sorted(set(parts))).encode()).hexdigest()


def make(root: Path, out: Path, only: str) -> None:
    """Writes name -> digest (or what went wrong) of all cases whose name contains `only`."""
    found = {}
    for name, arguments in cases().items():
        if only not in name:
            continue
        try:
            found[name] = weights(root.resolve(), arguments)
        except RuntimeError as fault:
            found[name] = f"failed: {fault}"
        print(f"{name}: {found[name][:200]}", flush=True)
        out.write_text(json.dumps(found, indent=1) + "\n")


def compare(before: Path, now: Path) -> int:
    """Prints the cases that differ. Returns how many they are."""
    old, new = (json.loads(path.read_text()) for path in (before, now))
    differing = [name for name in old.keys() & new.keys() if old[name] != new[name] or old[name].startswith("failed")]
    print("\n".join(f"differs: {name}" for name in sorted(differing)))
    print(f"{len(old.keys() & new.keys()) - len(differing)} cases alike to the bit, {len(differing)} differ")
    return len(differing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("make", help="train all cases with a checkout and write their digests")
    made.add_argument("root", type=Path, help="the checkout")
    made.add_argument("out", type=Path, help="the JSON file to write")
    made.add_argument("--only", default="", help="cases whose name contains this text")
    compared = commands.add_parser("compare", help="compare two files")
    compared.add_argument("before", type=Path)
    compared.add_argument("now", type=Path)
    chosen = parser.parse_args()
    if chosen.command == "make":
        make(chosen.root, chosen.out, chosen.only)
    else:
        sys.exit(min(1, compare(chosen.before, chosen.now)))


if __name__ == "__main__":
    main()

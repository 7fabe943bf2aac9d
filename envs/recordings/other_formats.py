"""Recordings of driving in the formats of others: LeRobotDataset v3 and Minari. Needs the extra `formats`.

LeRobotDataset v3.0 (Hugging Face, https://huggingface.co/docs/lerobot): data/chunk-000/file-000.parquet with a row for
each picture, videos/KEY/chunk-000/file-000.mp4, and meta/: info.json, stats.json, tasks.parquet, episodes/. It is
written by pyarrow and PyAV, since lerobot itself would bring torch. Minari (Farama) is written by its own package.

An episode is a stretch of records that follow one another. Every record that is good is taken, whoever drove; `action`
is what was done: steering, throttle, and the target speed in m/s where the recording has one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from envs.recordings.tub import Tub, TubError
from envs.recordings.tub_copies import check_new

FORMATS = ("lerobot", "minari")
CAMERA = "observation.images.front"
ACTIONS = {"user/angle": "steering", "user/throttle": "throttle", "user/target_speed": "target_speed"}
STATES = {"game/speed": "speed", "game/lateral": "lateral", "game/heading": "heading", "game/progress": "progress"}
FILE_FRAMES = 20_000  # pictures in one file; 80x60 and 160x120 then stay far below the format's 200 MB
SAMPLED = 500  # pictures that the statistics of the video are taken from
CODEC = "libx264"
Progress = Callable[[int], None]


def episodes(tub: Tub) -> Iterator[np.ndarray]:
    """Rows of each stretch of records that follow one another."""
    edges = [*np.flatnonzero(tub.starts).tolist(), len(tub)]
    for low, high in zip(edges, edges[1:], strict=False):
        yield np.arange(low, high)


def columns(tub: Tub, wanted: dict[str, str]) -> tuple[list[str], np.ndarray]:
    """Names and values, float32 [n, k], of those of the columns that every record has."""
    there = [n for n in wanted if n in tub.records and np.isfinite(tub.records[n].astype(np.float64)).all()]
    values = [tub.records[name].astype(np.float32) for name in there]
    return [wanted[name] for name in there], np.stack(values, 1) if values else np.zeros((len(tub), 0), np.float32)


def rate(tub: Tub) -> int:
    """Pictures a second, as the times of the records tell; 20 where they tell nothing."""
    stamps = tub.records.get("_timestamp_ms")
    steps = np.diff(stamps) if stamps is not None else np.array([])
    steps = steps[np.isfinite(steps) & (steps > 0)]
    return int(np.clip(round(1000.0 / float(np.median(steps))), 1, 1000)) if len(steps) else 20


def to_lerobot(tub: Tub, out: Path, progress: Progress = lambda done: None) -> int:
    """Writes LeRobotDataset v3.0 into a new folder; returns how many records. Raises TubError."""
    if tub.shape[0] % 2 or tub.shape[1] % 2:
        raise TubError(f"{tub.path} holds pictures of {tub.shape[1]}x{tub.shape[0]}: videos need even sides")
    try:
        import av
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as fault:
        raise TubError(f"--to lerobot needs the package {fault.name}: pip install 'joypad-lab[formats]'") from None
    check_new(out, [tub.path])
    tub.require("user/angle")
    fps, task = rate(tub), f"drive: {tub.metadata.get('game', 'car')}"
    actions, states = columns(tub, ACTIONS), columns(tub, STATES)
    rows: list[dict[str, Any]] = []
    listed: list[dict[str, Any]] = []
    done = file = 0
    video: Any = None
    sums = _PictureSums(max(1, len(tub) // SAMPLED))

    def close() -> None:
        """Ends the files of the present number."""
        nonlocal video, rows
        if video is None:
            return
        for packet in video.streams.video[0].encode():
            video.mux(packet)
        video.close()
        table = pa.table({name: [row[name] for row in rows] for name in rows[0]}, schema=_schema(pa, actions, states))
        _parquet(pq, table, out / f"data/chunk-000/file-{file:03d}.parquet")
        video, rows = None, []

    for number, at in enumerate(episodes(tub)):
        if video is not None and len(rows) + len(at) > FILE_FRAMES:
            close()
            file += 1
        if video is None:
            video = _video(av, out / f"videos/{CAMERA}/chunk-000/file-{file:03d}.mp4", tub.shape, fps)
        first, within = done, len(rows)
        for frame, row in enumerate(at.tolist()):
            picture = tub.image(row)
            sums.add(picture, done)
            shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            for packet in video.streams.video[0].encode(shown):
                video.mux(packet)
            values = {"action": actions[1][row].tolist(), "observation.state": states[1][row].tolist()}
            rows.append({
                **{name: value for name, value in values.items() if value}, "timestamp": np.float32(frame / fps),
                "frame_index": frame, "episode_index": number, "index": done, "task_index": 0,
            })  # fmt: skip
            done += 1
            progress(done)
        seconds = within / fps, (within + len(at)) / fps
        listed.append({"episode_index": number, "tasks": [task], **_place(first, done, file, seconds)})
    close()
    _meta(pa, pq, out, task, listed)
    stats = {"action": _stats(actions[1]), **({"observation.state": _stats(states[1])} if states[0] else {})}
    _json(out / "meta/stats.json", {**stats, CAMERA: sums.stats()})
    _json(out / "meta/info.json", _info(tub, fps, len(listed), done, actions[0], states[0]))
    return done


def _place(first: int, end: int, file: int, seconds: tuple[float, float]) -> dict[str, Any]:
    """Where an episode stands: its rows first..end among all, and its seconds within the files of a number."""
    return {
        "length": end - first, "dataset_from_index": first, "dataset_to_index": end, "data/chunk_index": 0,
        "data/file_index": file, f"videos/{CAMERA}/chunk_index": 0, f"videos/{CAMERA}/file_index": file,
        f"videos/{CAMERA}/from_timestamp": seconds[0], f"videos/{CAMERA}/to_timestamp": seconds[1],
        "meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0,
    }  # fmt: skip


class _PictureSums:
    """Mean and spread of the colours of every so manyth picture, 0 to 1."""

    def __init__(self, every: int):
        self.every, self.means, self.squares = every, [], []
        self.low, self.high, self.pixels = np.ones(3), np.zeros(3), 0

    def add(self, picture: np.ndarray, number: int) -> None:
        if number % self.every:
            return
        flat = picture.reshape(-1, 3) / 255.0
        self.means.append(flat.mean(0))
        self.squares.append((flat**2).mean(0))
        self.low, self.high = np.minimum(self.low, flat.min(0)), np.maximum(self.high, flat.max(0))

    def stats(self) -> dict[str, Any]:
        mean = np.mean(self.means, 0)
        std = np.sqrt(np.maximum(np.mean(self.squares, 0) - mean**2, 0.0))
        found = {"min": self.low, "max": self.high, "mean": mean, "std": std}
        return {**{k: v.reshape(3, 1, 1).tolist() for k, v in found.items()}, "count": [len(self.means)]}


def _stats(values: np.ndarray) -> dict[str, Any]:
    found = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    return {**{name: value.tolist() for name, value in found.items()}, "count": [len(values)]}


def _video(av: Any, path: Path, shape: tuple[int, int], fps: int) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    container = av.open(str(path), "w")
    stream = container.add_stream(CODEC, rate=fps)
    stream.height, stream.width, stream.pix_fmt = *shape, "yuv420p"
    # Few pictures rest on others: learners jump to any of them.
    stream.options = {"crf": "18", "g": "2", "preset": "veryfast"}
    return container


def _schema(pa: Any, actions: tuple[list[str], Any], states: tuple[list[str], Any]) -> Any:
    def numbers(names: list[str]) -> Any:
        return pa.list_(pa.float32(), len(names))

    fields = [("action", numbers(actions[0]))] + ([("observation.state", numbers(states[0]))] if states[0] else [])
    whole = [(name, pa.int64()) for name in ("frame_index", "episode_index", "index", "task_index")]
    return pa.schema([*fields, ("timestamp", pa.float32()), *whole])


def _parquet(pq: Any, table: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="snappy")


def _meta(pa: Any, pq: Any, out: Path, task: str, listed: list[dict[str, Any]]) -> None:
    """tasks.parquet, whose index is the task as pandas reads it, and the table of episodes."""
    index = {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    number = {**index, "name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"}
    about = {
        "index_columns": ["task"], "column_indexes": [], "columns": [number, index], "pandas_version": "2.0.0",
    }  # fmt: skip
    tasks = pa.table({"task_index": pa.array([0], pa.int64()), "task": [task]})
    _parquet(pq, tasks.replace_schema_metadata({"pandas": json.dumps(about)}), out / "meta/tasks.parquet")
    table = pa.table({name: [episode[name] for episode in listed] for name in listed[0]})
    _parquet(pq, table, out / "meta/episodes/chunk-000/file-000.parquet")


def _info(tub: Tub, fps: int, count: int, frames: int, actions: list[str], states: list[str]) -> dict[str, Any]:
    height, width = tub.shape
    seen = {
        "video.height": height, "video.width": width, "video.codec": "h264", "video.pix_fmt": "yuv420p",
        "video.is_depth_map": False, "video.fps": fps, "video.channels": 3, "has_audio": False,
    }  # fmt: skip
    picture = {
        "dtype": "video", "shape": [height, width, 3], "names": ["height", "width", "channels"], "info": seen,
    }  # fmt: skip
    features: dict[str, Any] = {"action": {"dtype": "float32", "shape": [len(actions)], "names": actions}}
    if states:
        features["observation.state"] = {"dtype": "float32", "shape": [len(states)], "names": states}
    features[CAMERA] = picture
    features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    for name in ("frame_index", "episode_index", "index", "task_index"):
        features[name] = {"dtype": "int64", "shape": [1], "names": None}
    return {
        "codebase_version": "v3.0", "robot_type": str(tub.metadata.get("game", "car")), "total_episodes": count,
        "total_frames": frames, "total_tasks": 1, "chunks_size": 1000, "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200, "fps": fps, "splits": {"train": f"0:{count}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4", "features": features,
    }  # fmt: skip


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=4) + "\n")


def to_minari(tub: Tub, out: Path, progress: Progress = lambda done: None) -> int:
    """Writes a Minari dataset, `out`/joypad/NAME-v0, into a new folder; returns how many steps. Raises TubError.

    An observation is the picture; the reward is the progress along the track, in laps, where the recording tells it,
    else 0. A step needs the picture after it, so that the last record of each stretch is an observation alone.
    """
    try:
        import h5py  # noqa: F401  (what minari stores with)
        import minari
        from gymnasium.spaces import Box
        from minari.data_collector import EpisodeBuffer
    except ImportError as fault:
        raise TubError(f"--to minari needs the package {fault.name}: pip install 'joypad-lab[formats]'") from None
    check_new(out, [tub.path])
    tub.require("user/angle")
    names, actions = columns(tub, ACTIONS)
    progressed = tub.records.get("game/progress")
    buffers, done = [], 0
    for at in episodes(tub):
        if len(at) < 2:
            continue
        steps = len(at) - 1
        gained = np.zeros(steps) if progressed is None else np.nan_to_num(np.diff(progressed[at]))
        ends = np.zeros(steps, np.bool_)
        ends[-1] = True
        buffers.append(EpisodeBuffer(
            observations=list(tub.images(at)), actions=list(actions[at[:-1]]), rewards=gained.tolist(),
            terminations=[False] * steps, truncations=ends.tolist(),
        ))  # fmt: skip
        done += steps
        progress(done)
    if not buffers:
        raise TubError(f"{tub.path} has no two records that follow one another")
    high = np.maximum(np.abs(actions).max(0), 1.0).astype(np.float32)
    before, name = os.environ.get("MINARI_DATASETS_PATH"), "".join(c if c.isalnum() else "-" for c in tub.path.name)
    out.mkdir(parents=True, exist_ok=True)
    os.environ["MINARI_DATASETS_PATH"] = str(out)
    try:
        minari.create_dataset_from_buffers(
            dataset_id=f"joypad/{name.lower() or 'tub'}-v0", buffer=buffers,
            observation_space=Box(0, 255, (*tub.shape, 3), np.uint8), action_space=Box(-high, high, dtype=np.float32),
            algorithm_name=str(tub.metadata.get("driver", "a person")), description=f"actions: {', '.join(names)}",
        )  # fmt: skip
    finally:
        os.environ.pop("MINARI_DATASETS_PATH")
        if before is not None:
            os.environ["MINARI_DATASETS_PATH"] = before
    return done


WRITERS: dict[str, Callable[..., int]] = {"lerobot": to_lerobot, "minari": to_minari}

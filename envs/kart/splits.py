"""The seeds of tracks and looks for training, validation and test, and how a `tracks` option is read.

The three ranges are disjoint and fixed here, once. Nothing may be tuned on the test range.
Hand-made tracks have names and negative numbers: -1 is the first name, -2 the second, and so on.
"""

SPLITS = {
    "train": range(0, 1_000_000),
    "validation": range(1_000_000, 1_010_000),
    "test": range(2_000_000, 2_010_000),
}
NAMES = ("oval", "harbour", "serpent", "dunes")


def split_of(track: int) -> str:
    """Name of the split that a track's number belongs to; hand-made tracks belong to `train`."""
    for name, seeds in SPLITS.items():
        if track in seeds:
            return name
    if -len(NAMES) <= track < 0:
        return "train"
    raise ValueError(f"track {track} is in no split; splits are {SPLITS}")


def look_seeds(split: str) -> range:
    """Seeds of random looks for one split: the same ranges as its tracks."""
    return SPLITS[split]


def parse_tracks(text: str) -> range | tuple[int, ...]:
    """Track numbers for a `tracks` option.

    Accepts a split (`train`), the first k seeds of a split (`test:20`), a single seed of a split counted from
    its start (`test#7`), names of hand-made tracks (`harbour`), `named` (all of those), and lists with commas.
    Raises ValueError that says what is allowed.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 1 and parts[0] in SPLITS:
        return SPLITS[parts[0]]
    tracks: list[int] = []
    for part in parts:
        head, _, count = part.partition(":")
        split, _, number = part.partition("#")
        if part in NAMES:
            tracks.append(-1 - NAMES.index(part))
        elif part == "named":
            tracks.extend(-1 - i for i in range(len(NAMES)))
        elif head in SPLITS and count.isdigit() and 1 <= int(count) <= len(SPLITS[head]):
            tracks.extend(SPLITS[head][: int(count)])
        elif split in SPLITS and number.isdigit() and int(number) < len(SPLITS[split]):
            tracks.append(SPLITS[split][int(number)])
        else:
            raise ValueError(
                f"tracks: {part!r} is unknown; allowed are {', '.join(SPLITS)} (whole range, only alone), "
                f"SPLIT:K with K from 1 to the size of the range, SPLIT#I, named, {', '.join(NAMES)}, "
                "and lists of these with commas"
            )
    return tuple(tracks)

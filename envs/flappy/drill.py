"""Drill: training begins again a little before earlier crashes.

A good bird crashes once in a thousand pipes, so that a training hardly sees what kills it. Each game of the batch
keeps the moments before its newest crashes, two pipes ahead of them, and spends a share of its frames on short
episodes from there: a few pipes, with another future (compare Salimans & Chen 2018, who begin at moments of a
demonstration, and Ecoffet et al. 2021, who begin at moments of their own).
"""

import numpy as np
from numba import njit

from envs.flappy.rules import GAME, begin, random_unit

BANK = 8  # crashes that a game remembers
PIPES = 4  # pipes of an episode that begins before a remembered crash
NEWER, OLDER, FIRST = 0, 1, 2  # slots of `moments`: the last two pipes passed in this episode, then the bank


def notes_type() -> np.dtype:
    """What a game remembers beside the moments themselves."""
    fields = [
        ("frames", np.int64),  # frames played so far, over all episodes
        ("drilled", np.int64),  # frames of episodes that began before a crash
        ("crashes", np.int64),  # crashes kept so far, the newest BANK of them in the bank
        ("drilling", np.int64),  # 1: this episode began before a crash
    ]
    return np.dtype(fields, align=True)


def room(games: np.ndarray, drill: float) -> tuple[np.ndarray, np.ndarray]:
    """(notes [N], moments [N, FIRST + BANK]) for `games`; empty where no drill is asked for."""
    num = len(games) if drill > 0 else 0
    return np.zeros(num, notes_type()), np.zeros((num, FIRST + BANK), games.dtype)


@njit(cache=True, nogil=True)
def start(games, rules, notes, moments, i):
    """Begins an episode in game i: at the grid, or before a crash while too few frames were spent on those."""
    if rules.drill > 0.0:
        note = notes[i]
        note.drilling = note.crashes > 0 and note.drilled < rules.drill * note.frames
        if note.drilling:
            pick = np.int64(random_unit(games[i], GAME) * min(note.crashes, BANK))
            streams = games[i].streams.copy()
            games[i] = moments[i, FIRST + pick]
            games[i].streams[:] = streams
            games[i].score, games[i].frames, games[i].over = 0, 0, 0
        else:
            begin(games[i], rules)
        moments[i, NEWER] = games[i]
        moments[i, OLDER] = games[i]
    else:
        begin(games[i], rules)


@njit(cache=True, nogil=True)
def follow(games, rules, notes, moments, i, points, crash):
    """Notes what a step of game i came to; True where its episode is over because a drill ends after PIPES."""
    note = notes[i]
    note.frames += rules.frame_skip
    if note.drilling:
        note.drilled += rules.frame_skip
        return not crash and games[i].score >= PIPES
    if crash:
        moments[i, FIRST + note.crashes % BANK] = moments[i, OLDER]
        note.crashes += 1
    elif points > 0:
        moments[i, OLDER] = moments[i, NEWER]
        moments[i, NEWER] = games[i]
    return False

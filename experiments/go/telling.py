"""What the people at a board are told: why a move is refused, whose a point is in the end, what the last move cost."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.go.board import ACTION, KO
from envs.go.game import GoGame, to_vertex
from envs.go.scoring import area
from experiments.go.engine import Engine
from experiments.go.players import SearchPlayer

PLAYOUTS = 60  # playouts for the ownership, per look
SHOWN = 8  # moves in the list of candidates
FORESEEN = 8  # moves of the line that follows a candidate


def why_illegal(game: GoGame, action: int) -> str:
    """Why the side to move may not play there; empty where it may."""
    if game.is_legal(action):
        return ""
    size, where = game.size, ""
    if not 0 <= action < size**2:
        return f"there is no point {action} on this board"
    where = to_vertex(action, size)
    if game.at(action):
        return f"{where} is occupied"
    if game.state[KO] and game.state[game.state[KO] + ACTION] == action:
        return f"{where} is ko: play elsewhere first, then you may take back"
    if _is_suicide(game.board(), action, game.turn + 1):
        return f"{where} would be suicide: the stone would have no liberty"
    return f"{where} would repeat an earlier position of the whole board (superko)"


def _is_suicide(board: np.ndarray, action: int, colour: int) -> bool:
    """Would a stone of the colour have no liberty there, and take nothing? board [size, size]."""
    board, here = board.copy(), divmod(action, len(board))
    board[here] = colour
    if _liberties(board, here):
        return False
    return all(_liberties(board, near) for near in _near(board, here) if board[near] == 3 - colour)


def _liberties(board: np.ndarray, start: tuple[int, int]) -> int:
    """Of the group at a point."""
    group, waiting, free = {start}, [start], set()
    while waiting:
        for near in _near(board, waiting.pop()):
            if board[near] == 0:
                free.add(near)
            elif board[near] == board[start] and near not in group:
                group.add(near)
                waiting.append(near)
    return len(free)


def _near(board: np.ndarray, here: tuple[int, int]) -> list[tuple[int, int]]:
    row, column = here
    around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
    return [(r, c) for r, c in around if 0 <= r < len(board) and 0 <= c < len(board)]


def counted(engine: Engine) -> list[int]:
    """Whose every point is once dead stones are taken off: +1 Black, -1 White, 0 nobody's."""
    if engine.rule_set.removal:
        return engine.judged().points.tolist()
    owner = np.empty(engine.game.size**2, np.int8)
    area(engine.game.state, owner)
    return owner.tolist()


def findings(player: SearchPlayer, state: np.ndarray, size: int, turn: int) -> dict[str, Any]:
    """What a player's search has found so far at the position of `state`, as JSON, in Black's view."""
    result, (owner, lead) = player.result(), player.ownership(state, PLAYOUTS)
    visits, q, black = result.visits[0], result.q[0], 1.0 - 2.0 * turn
    total, moves = max(int(visits.sum()), 1), []
    for action in np.argsort(-visits, kind="stable")[:SHOWN]:
        if visits[action]:
            line = [int(after) for after in player.variation(int(action))[:FORESEEN]]
            moves.append({
                "action": int(action), "move": to_vertex(int(action), size), "visits": int(visits[action]),
                "chance": (1 + black * float(q[action])) / 2, "actions": line,
                "line": " ".join(to_vertex(after, size) for after in line),
            })  # fmt: skip
    return {
        "visits": total, "shares": np.round(visits[:-1] / total, 4).tolist(),
        "policy": np.round(player.policy(state, result)[:-1], 4).tolist(),
        "ownership": np.round(owner, 2).tolist(), "moves": moves,
        "chance": (1 + black * float(result.value[0])) / 2, "lead": round(lead, 1),
    }  # fmt: skip


def lost(line: list[tuple[int, int]], chances: dict[int, float], ply: int) -> float | None:
    """What the move has cost its side, in chances or points (negative: it gained), as far as both are known."""
    before, after = chances.get(ply - 1), chances.get(ply)
    if before is None or after is None:
        return None
    return round((before - after) * (-1 if line[ply - 1][0] else 1), 4)


def given_up(side: int, late: bool) -> tuple[str, str]:
    """The result and a sentence about it, where this side has resigned or, late, run out of time."""
    winner, loser = ("White", "Black") if side == 0 else ("Black", "White")
    how = "has run out of time" if late else "resigns"
    return f"{winner[0]}+{'T' if late else 'R'}", f"{loser} {how}: {winner} wins."


def outcome(lead: float) -> tuple[str, str]:
    """The result of a game that is counted, Black's lead, and a sentence about it."""
    winner = "Nobody wins" if lead == 0 else f"{'Black' if lead > 0 else 'White'} wins by {abs(lead):g}"
    result = "0" if lead == 0 else f"{'B' if lead > 0 else 'W'}+{abs(lead):g}"
    return result, f"{winner}; dead stones are taken off. Play on to dispute it."

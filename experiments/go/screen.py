"""The Go board in a pygame window: the board at the left, what the player thinks at the right."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

from envs.go import sgf
from envs.go.picture import SIDE, action_at, draw, geometry
from envs.window import PygameWindow
from experiments.go.stopwatch import clock_text
from experiments.go.table import SIDES, GoTable

PANEL = 320  # px, width of the right side
TICK = 0.25  # s between two looks at the clock
OVERLAYS = ("off", "visits", "policy", "ownership")
KEYS = {
    "p": "pass", "u": "undo", "left": "one move back", "right": "one move on", "home": "to the beginning",
    "end": "to the end", "o": "show visits, policy, ownership", "a": "analyse or rest", "c": "your colour",
    "n": "new game", "s": "save as SGF", "escape": "leave",
}  # fmt: skip
INK, QUIET, LINE, ACCENT = (232, 230, 224), (160, 164, 173), (60, 65, 75), (90, 169, 248)
GROUND = (32, 35, 40)


class TableWindow:
    """Shows a table and hears the person. SGF files can be dropped on the window. save: folder for games."""

    def __init__(self, table: GoTable, save: Path):
        self.window = PygameWindow("joypad: Go")
        self.pygame, self.table, self.save = self.window.pygame, table, save
        self.overlay, self.note, self._fonts = "off", "", {}
        self._view, self._lock, self._fresh = table.view(), threading.Lock(), True
        self._came = time.monotonic()  # time at which the view came
        table.publish = self._take

    def _take(self, view: dict) -> None:
        with self._lock:
            self._view, self._fresh, self._came = view, True, time.monotonic()

    def run(self) -> None:
        """Until the window is closed."""
        pygame = self.pygame
        pygame.font.init()
        surface = pygame.Surface((SIDE + PANEL, draw(np.zeros((2, 2), np.int8)).shape[0]))
        print("click plays; " + "; ".join(f"{key}: {about}" for key, about in KEYS.items()), flush=True)
        self.table.start()
        drawn = 0.0
        try:
            while True:
                for event in pygame.event.get():
                    if not self._hear(event):
                        return
                with self._lock:
                    view, fresh, self._fresh = self._view, self._fresh, False
                ticks = view["clock"]["running"] is not None and time.monotonic() - drawn > TICK
                if fresh or ticks:
                    self.draw(surface, view)
                    self.window.draw(surface)
                    drawn = time.monotonic()
                time.sleep(0.02)
        finally:
            self.table.close()
            pygame.quit()

    def _hear(self, event) -> bool:
        """Handles one event; False: leave."""
        pygame, table, view = self.pygame, self.table, self._view
        if event.type == pygame.QUIT:
            return False
        if event.type == pygame.DROPFILE:
            try:
                table.command("load", sgf.read_file(event.file))
            except (OSError, sgf.SGFError) as fault:
                self.note = f"{event.file}: {fault.strerror if isinstance(fault, OSError) else fault}"
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == 1:
            x, y = map(round, self.window.place(event.pos))
            if x < SIDE and (action := action_at(x, y, view["size"])) >= 0:
                table.command("play", action)
        elif event.type == pygame.KEYDOWN:
            key = pygame.key.name(event.key)
            steps = {"left": view["ply"] - 1, "right": view["ply"] + 1, "home": 0, "end": view["plies"]}
            self.note = ""
            if key == "escape":
                return False
            if key in steps:
                table.command("go", steps[key])
            elif key in ("p", "u"):
                table.command({"p": "pass", "u": "undo"}[key])
            elif key == "a":
                table.command("analyse", not view["analysing"])
            elif key == "c":
                table.command("side", SIDES[(SIDES.index(view["human"]) + 1) % len(SIDES)])
            elif key == "n":
                table.command("new", {"size": view["size"], "komi": view["komi"], "handicap": view["handicap"]})
            elif key == "o":
                self.overlay = OVERLAYS[(OVERLAYS.index(self.overlay) + 1) % len(OVERLAYS)]
            elif key == "s":
                self._save()
            self._fresh = True
        return True

    def _save(self) -> None:
        try:
            self.save.mkdir(parents=True, exist_ok=True)
            path = self.save / time.strftime("%Y-%m-%d-%H-%M-%S.sgf")
            path.write_bytes(self.table.saved)
            self.note = f"saved as {path}"
        except OSError as fault:
            self.note = f"{self.save}: {fault.strerror}"

    def draw(self, surface, view: dict) -> None:
        """One picture of a view."""
        size, found, pygame = view["size"], view["found"], self.pygame
        board = np.array(view["board"], np.int8).reshape(size, size)
        side = "White" if view["turn"] else "Black"
        foot = view["ended"] or (f"{side}: {view['player']} thinks" if view["thinking"] else f"{side} to move")
        note = self.note or view["message"] or f"captured {view['captured'][0]} : {view['captured'][1]}"
        image = draw(board, last=view["last"], banned=view["ko"], foot=foot, note="" if view["ended"] else note)
        surface.fill(GROUND)
        surface.blit(pygame.surfarray.make_surface(image.swapaxes(0, 1)), (0, 0))
        self._heat(surface, view, board)
        self._panel(surface, view, found)

    def _heat(self, surface, view: dict, board: np.ndarray) -> None:
        found, size, pygame = view["found"], view["size"], self.pygame
        first, gap = geometry(size)
        layer = pygame.Surface((SIDE, SIDE), pygame.SRCALPHA)
        if self.overlay == "ownership":
            for action, owner in enumerate(found.get("ownership", ())):
                x, y = first + gap * (action % size), first + gap * (action // size)
                stone = board[action // size, action % size]
                if abs(owner) > 0.1 and (stone == 0 or (owner > 0) != (stone == 1)):
                    half = gap * (0.13 + 0.15 * abs(owner))
                    shade = (12, 12, 16) if owner > 0 else (255, 255, 255)
                    rect = pygame.Rect(0, 0, round(2 * half), round(2 * half))
                    rect.center = round(x), round(y)
                    pygame.draw.rect(layer, (*shade, 200), rect, border_radius=3)
        elif self.overlay != "off":
            shares = found.get({"visits": "shares", "policy": "policy"}[self.overlay], ())
            most = max([*shares, 1e-6])
            for action, share in enumerate(shares):
                part = share / most
                if part > 0.03 and board[action // size, action % size] == 0:
                    x, y = first + gap * (action % size), first + gap * (action // size)
                    shade = pygame.Color(0)
                    shade.hsva = (210 - 200 * part**0.5, 85, 95, 100)
                    shade.a = round(90 + 130 * part)
                    pygame.draw.circle(layer, shade, (x, y), gap * (0.2 + 0.22 * part**0.5))
                    if part > 0.12:
                        height = max(14, round(gap * 0.32))
                        self._write(layer, f"{100 * share:.0f}", (x, y), height, INK, anchor="center")
        surface.blit(layer, (0, 0))

    def _panel(self, surface, view: dict, found: dict) -> None:
        pygame, left, width = self.pygame, SIDE + 16, PANEL - 32
        you = {"both": "you play both sides", "none": "nobody plays by hand"}.get(view["human"])
        clocks = " : ".join(clock_text(view["clock"], side, time.monotonic() - self._came) for side in (0, 1))
        self._write(surface, clocks, (left + width, 16), 22, ACCENT, anchor="topright")
        self._write(surface, you or f"you play {view['human'].capitalize()}", (left, 14), 24, INK)
        self._write(surface, f"{view['player']}, komi {view['komi']:g}, move {view['ply']}", (left, 40), 20, QUIET)
        chance = found.get("chance")
        if chance is not None:
            pygame.draw.rect(surface, (226, 222, 212), (left, 66, width, 22), border_radius=4)
            pygame.draw.rect(surface, (12, 12, 14), (left, 66, round(width * chance), 22), border_radius=4)
            self._write(surface, f"Black {chance:.1%}", (left, 94), 20, INK)
            if "lead" in found:
                lead = f"{'B' if found['lead'] >= 0 else 'W'}+{abs(found['lead']):g}"
                text = f"playouts {lead}, {found['visits']} visits"
                self._write(surface, text, (left + 110, 94), 20, QUIET)
        self._graph(surface, view, pygame.Rect(left, 124, width, 130))
        for i, move in enumerate(found.get("moves", ())):
            top = 270 + 22 * i
            self._write(surface, move["move"], (left, top), 20, INK)
            self._write(surface, f"{move['visits']}", (left + 42, top), 20, QUIET)
            self._write(surface, f"{move['chance']:.1%}", (left + 104, top), 20, INK)
            self._write(surface, move["line"][:22], (left + 166, top), 18, QUIET)
        shown = f"shown: {self.overlay}" + ("" if view["analysing"] else ", analysis rests")
        self._write(surface, shown, (left, 464), 20, QUIET)
        for i, (key, about) in enumerate(KEYS.items()):
            x, y = left + (i % 2) * (width // 2), 496 + 28 * (i // 2)
            self._write(surface, key, (x, y), 18, ACCENT)
            self._write(surface, about.partition(",")[0][:17], (x + 46, y), 18, QUIET)

    def _graph(self, surface, view: dict, box) -> None:
        """Black's chances over the moves."""
        pygame, chances = self.pygame, view["chances"]
        pygame.draw.rect(surface, (24, 26, 31), box, border_radius=6)
        pygame.draw.line(surface, LINE, (box.left, box.centery), (box.right, box.centery))
        last = max(len(chances) - 1, 20)
        points = [
            (box.left + 4 + (box.width - 8) * ply / last, box.top + 4 + (box.height - 8) * (1 - chance))
            for ply, chance in enumerate(chances) if chance is not None
        ]  # fmt: skip
        if len(points) > 1:
            pygame.draw.aalines(surface, ACCENT, False, points)
        if points:
            pygame.draw.circle(surface, ACCENT, points[-1], 3)
        x = box.left + 4 + (box.width - 8) * view["ply"] / last
        pygame.draw.line(surface, QUIET, (x, box.top + 4), (x, box.bottom - 4))

    def _write(self, surface, text: str, at, height: int, colour, anchor: str = "topleft") -> None:
        if height not in self._fonts:
            self._fonts[height] = self.pygame.font.Font(None, height)
        label = self._fonts[height].render(text, True, colour)
        surface.blit(label, label.get_rect(**{anchor: at}))

"""Figures on rendered pictures (lap, times, speed, place, map) and the window that shows them to people."""

import math

import numpy as np

from envs.kart import columns as c

# Letters of 3 x 5 pixels, one octal digit per row from the top, the left pixel is 4.
FONT = {
    "0": "75557", "1": "26227", "2": "71747", "3": "71717", "4": "55711", "5": "74717", "6": "74757", "7": "71122",
    "8": "75757", "9": "75717", "A": "25755", "B": "65656", "C": "34443", "D": "65556", "E": "74647", "F": "74644",
    "G": "34553", "H": "55755", "I": "72227", "J": "11152", "K": "55655", "L": "44447", "M": "57755", "N": "57775",
    "O": "25552", "P": "65644", "Q": "25563", "R": "65655", "S": "34216", "T": "72222", "U": "55557", "V": "55552",
    "W": "55775", "X": "55255", "Y": "55222", "Z": "71247", ":": "02020", ".": "00002", "/": "11244", "-": "00700",
    " ": "00000",
}  # fmt: skip
MAP = 84  # pixels per side of the map
MARKS = ((255, 255, 255), (90, 150, 255), (255, 210, 60), (90, 210, 110), (255, 150, 60), (190, 120, 240),
         (60, 60, 60), (70, 220, 230))  # fmt: skip


def write(picture: np.ndarray, text: str, x: int, y: int, size: int = 2, colour=(255, 255, 255)) -> None:
    """Put text with a dark outline on a picture, in place; letters are 3 x 5 blocks of `size` pixels."""
    for shift_x, shift_y, paint in ((1, 1, (0, 0, 0)), (-1, 0, (0, 0, 0)), (0, -1, (0, 0, 0)), (0, 0, colour)):
        for k, letter in enumerate(text.upper()):
            for row, digit in enumerate(FONT.get(letter, FONT["-"])):
                for bit in range(3):
                    if int(digit, 8) & (4 >> bit):
                        left, top = x + (4 * k + bit) * size + shift_x, y + row * size + shift_y
                        picture[max(top, 0) : top + size, max(left, 0) : left + size] = paint


def clock(seconds: float) -> str:
    """m:ss.hh, or dashes where there is no time yet."""
    if math.isnan(seconds):
        return "-:--.--"
    return f"{int(seconds // 60)}:{seconds % 60:05.2f}"


def with_figures(picture: np.ndarray, batch, i: int) -> np.ndarray:
    """A picture [360, 480, 3] of race i with its figures and map, in place."""
    times, kart = batch.race[i], batch.karts[i, 0]
    laps, karts = batch.options.laps, batch.options.karts
    lap = int(times[c.GATE] // c.GATES) + 1
    write(picture, f"LAP {min(lap, laps)}/{laps}" if laps else f"LAP {lap}", 10, 10, 3)
    write(picture, f"TIME {clock(times[c.CLOCK] - times[c.LAP_START])}", 10, 32)
    write(picture, f"LAST {clock(times[c.LAST_LAP])}", 10, 46)
    write(picture, f"BEST {clock(times[c.BEST_LAP])}", 10, 60, colour=(255, 224, 90))
    speed = math.hypot(kart[c.VEL_X], kart[c.VEL_Y]) * 3.6
    write(picture, f"{speed:3.0f} KM/H", picture.shape[1] - 134, picture.shape[0] - 28, 4)
    if karts > 1:
        write(picture, f"{int(times[c.PLACE])}/{karts}", 10, picture.shape[0] - 40, 6, (255, 224, 90))
    if abs(kart[c.HEADING]) > math.pi / 2:
        write(picture, "WRONG WAY", picture.shape[1] // 2 - 88, 90, 5, (255, 80, 60))
    elif kart[c.BOOST] > 0.0:
        write(picture, "BOOST", picture.shape[1] // 2 - 38, 90, 4, (90, 230, 250))
    draw_map(picture, batch, i)
    return picture


def draw_map(picture: np.ndarray, batch, i: int) -> None:
    """The course and its karts in the upper right corner, in place."""
    n = batch.scene.count[i]
    points = batch.scene.line[i, :n, :2]
    low, size = points.min(axis=0), np.ptp(points, axis=0).max()
    corner = np.array([picture.shape[1] - MAP - 14, 12])

    def dot(spot: np.ndarray, radius: int, colour) -> None:
        x, y = (corner + (spot - low) * (MAP / size)).astype(int)
        picture[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1] = colour

    for colour, radius in (((20, 20, 24), 3), ((232, 232, 236), 1)):
        for spot in points:
            dot(spot, radius, colour)
    dot(points[0], 3, (20, 20, 24))
    for k in range(batch.options.karts - 1, -1, -1):
        spot = batch.karts[i, k, [c.POS_X, c.POS_Y]]
        dot(spot, 3, (20, 20, 24))
        dot(spot, 2, (230, 40, 40) if k == 0 else MARKS[k])

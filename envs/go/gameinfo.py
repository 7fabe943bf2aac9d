"""What the game-info values of an SGF file mean, as people and programs really write them.

None of them refuses a game: what is not understood becomes a remark. Komi is in points. The table of odd komis follows
what KataGo, KaTrain, Lizzie and OGS make of the same files: the Fox server and files that went through SGFC write
hundredths, and under Chinese rules hundredths of stones, which are two points each (375 is 3.75 stones, 7.5 points).
"""

import math
import re
import unicodedata

from envs.go.sgf import Node
from envs.text import shown

LIMIT = 1000.0  # bound of komi and margins
OWN = "joypad"  # AP of the files that we write: their numbers are what they say

_NUMBER = re.compile(r"(?<![\da-zA-Z.])[-+]?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})(?![\d.]|[ex]\d)")
_DIGITS = {ord(digit): str(value) for value, digit in enumerate("零一二三四五六七八九")}
_WORDS = re.compile(r"[二三四五六七八九十百][一二三四五六七八九十百]+|[十百]")  # numbers of several digits are not read
_HALF = re.compile(r"半|반|half|1/2")
_FRACTION = re.compile(r"(\d{1,3})又(\d{1,3})/(\d{1,3})")
_BLACK, _WHITE = r"black|黑|黒|흑", r"white|白|백"
_WON = re.compile(rf"({_BLACK})|({_WHITE})", re.IGNORECASE)
_LOSES = re.compile(r"lose|lost|负|負|敗|败|패")
_WINS = re.compile(r"win|won|胜|勝|승|\+")
_POINTS = re.compile(
    r"\d{1,4}(?:\.\d{1,4})?(?=\s*(?:半|반|目|子|집|호|points?|pts|moku|$))|(?<=by )\s*\d{1,4}(?:\.\d{1,4})?"
)


def _plain(text: str) -> str:
    """The beginning of a value; full-width digits and signs as plain ones, commas as points."""
    return unicodedata.normalize("NFKC", text[:200].replace("½", " 1/2")).replace(",", ".").strip()


def points(text: str) -> float | None:
    """The number of points in a text such as "6.5", "6,5", "6目半", "5 1/2", "3又3/4子" (stones: two points each)."""
    text = _plain(text)
    if _WORDS.search(text):
        return None
    text, stones = text.translate(_DIGITS), 2.0 if "子" in text else 1.0
    if mixed := _FRACTION.search(text):
        whole, above, below = map(int, mixed.groups())
        return stones * (whole + above / below) if below else None
    half = _HALF.search(text.lower())
    number = _NUMBER.search(_HALF.sub(" ", text.lower(), count=1))
    if number is None and half is None:
        return None
    value = float(number.group()) if number else 0.0
    value = stones * (value + math.copysign(0.5, value) * (half is not None))
    return value if abs(value) <= LIMIT else None


def komi(root: Node, remarks: list[str]) -> float | None:
    """White's points by KM, or by KO where the Nihon Ki-in writes them; None where the file does not say."""
    name = "KM"
    if not root.get(name) and not root.properties.keys() & {"B", "W"}:  # KO beside a move means something else
        name = "KO"
    given = root.get(name)
    if not given:
        return None
    try:
        value = float(_plain(given))
    except ValueError:
        value = points(given)
    if value is None or not abs(value) <= LIMIT:
        remarks.append(f"{name}[{shown(given, 20)}] is no komi; the one that is set stays")
        return None
    meant = _odd_komi(root, value)
    if meant != value:
        remarks.append(f"{name}[{shown(given, 20)}] is taken as a komi of {meant:g}")
    return meant


def _odd_komi(root: Node, value: float) -> float:
    """A komi in hundredths, or in stones, as points."""
    programs = " ".join(root.properties.get("AP", ())).lower()
    if OWN in programs:
        return value
    hundredths = value
    if abs(value) >= 200 or ("foxwq" in programs and abs(value) >= 25):
        hundredths = value / 100
    stones = hundredths * 4 % 2 == 1 or (hundredths != value and 2 <= abs(hundredths) < 4.5 and not _territory(root))
    return hundredths * 2 if stones and abs(hundredths) < 5 else hundredths


def _territory(root: Node) -> bool:
    """Whether points are counted one by one."""
    return root.get("RU", "").lower().startswith(("japan", "korea", "jp", "kr", "日", "韩", "韓"))


def handicap(root: Node, size: int, remarks: list[str]) -> int:
    """Handicap stones by HA; 0 where it is in words without a number."""
    given = root.get("HA") or ""
    text = _plain(given)
    if "子" in text and not _WORDS.search(text):  # stones, not a player's name
        text = text.translate(_DIGITS)
    numbers = re.findall(r"\d+(?:\.0*)?", text)
    known = len(numbers) == 1 and len(numbers[0]) < 6 and float(numbers[0]) < size * size and "-" not in given
    if given and not known:
        remarks.append(f"HA[{shown(given, 20)}] is no number of handicap stones; taken as 0")
    return int(float(numbers[0])) if known else 0


def colour(text: str) -> int | None:
    """0 Black, 1 White, None for neither."""
    text = text.strip().lower()
    for number, names in enumerate((("b", "black", "1", "黑", "黒", "흑"), ("w", "white", "2", "白", "백"))):
        if text in names or text.startswith(names[1]):
            return number
    return None


def result(text: str) -> tuple[int | None, float | None]:
    """(winner, margin) of an RE value: "B+3.5", "W+R", "0", "Draw", "黑中盘胜", "White won by 2 points", "?" and so on.

    winner: +1 Black, -1 White, 0 a draw, None not known. margin: points, where the game was counted.
    """
    text = _plain(text)
    if re.fullmatch(r"0+(\.0*)?", text) or text.lower() in ("draw", "jigo", "持碁", "和棋", "和", "무승부", "빅"):
        return 0, 0.0
    short = re.match(r"([BbWw])\s*\+\s*(\d{1,4}(?:\.\d{1,4})?(?!\d))?", text)
    if short is not None:
        winner = 1 if short[1] in "Bb" else -1
        return winner, points(text[short.start(2) :]) if short[2] else None
    named = _WON.search(text)
    if named is None:
        return None, None
    behind = text[named.end() :].lower()
    lost, won = _LOSES.search(behind), _WINS.search(behind)
    if lost is None and won is None:
        return None, None
    winner = (1 if named[1] else -1) * (-1 if lost and not (won and won.start() < lost.start()) else 1)
    return winner, points(behind) if _POINTS.search(behind.translate(_DIGITS)) or _HALF.search(behind) else None

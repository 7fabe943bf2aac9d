"""Who drives: a person, the network, or both."""

from __future__ import annotations

from typing import NamedTuple

MODES = {  # mode -> what it is, for people
    "manual": "you drive",
    "shadow": "you drive, and the network's wheel is drawn beside yours",
    "assisted": "the network steers, you hold the throttle",
    "autonomous": "the network drives",
}
NETWORK = ("assisted", "autonomous")  # modes in which the network's answers move the car
TOUCHED = 0.05  # steering or throttle from which a hand is on the controls


class CarHands(NamedTuple):
    """What a person's hands hold, by the last heartbeat of the page."""

    number: int  # number of the heartbeat
    steer: float
    throttle: float
    time: float  # moment at which it came, of time.monotonic, s


class DriveWish(NamedTuple):
    """What is asked of the guardian, and whose wish it is."""

    steer: float
    throttle: float
    person: bool  # True where a person steers
    override: bool = False  # True where a person has taken over from the network


def wish(mode: str, hands: CarHands | None, pilot: tuple[float, float] | None) -> DriveWish:
    """pilot: steering and throttle that the network wants; None: it has no answer."""
    steer, throttle = (hands.steer, hands.throttle) if hands else (0.0, 0.0)
    if mode not in NETWORK:
        return DriveWish(steer, throttle, person=True)
    touches = abs(steer) > TOUCHED, abs(throttle) > TOUCHED
    if mode == "assisted":
        if touches[0] or pilot is None:
            return DriveWish(steer, throttle, person=True, override=touches[0])
        return DriveWish(pilot[0], throttle, person=False)
    if any(touches):
        return DriveWish(steer, throttle, person=True, override=True)
    return DriveWish(*(pilot or (0.0, 0.0)), person=False)

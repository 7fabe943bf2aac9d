"""What stops the toy car: every rule at its number, with a clock that stands still until it is told to go on."""

from __future__ import annotations

import math

import pytest

from envs.car.messages import CarCommand, command_of
from envs.car.rules import CAUSES, LATE, LEFT, SafetyLimits, SafetyRules

FRESH = dict(
    seq=0, time=0.0, steer=0.0, throttle=0.0, presses=0, armed=True, frame_age=0.02, hands_age=0.02, frame=0, content=0,
    hands=0, missed=0, cap=1.0,
)  # fmt: skip


class Drive:
    """Rules, a clock in ticks of 10 ms, and a program that sends a good command at each."""

    def __init__(self, **limits: float):
        self.now, self.values, self.silent = 100.0, dict(FRESH), False
        self.rules = SafetyRules(self.now, SafetyLimits(**limits))

    def step(self, seconds: float = 0.01, **changed: float) -> Drive:
        """Goes on for so long, with these values in every command; each has a picture and a heartbeat of its own."""
        for _ in range(round(seconds / 0.01)):
            self.now += 0.01
            for name in ("seq", "frame", "content", "hands"):
                self.values[name] += 1
            if not self.silent:
                self.rules.command(CarCommand(**{**self.values, "time": self.now, **changed}), self.now)
            self.rules.tick(self.now)
        return self

    def arm(self) -> Drive:
        self.step(1.2)
        self.values["presses"] += 1
        return self.step()

    def drive(self, throttle: float = 0.2, steer: float = 0.0, seconds: float = 0.4) -> Drive:
        self.values |= dict(throttle=throttle, steer=steer)
        return self.step(seconds)

    @property
    def state(self) -> tuple[str, str]:
        return self.rules.state, self.rules.cause

    @property
    def moves(self) -> bool:
        return self.rules.output.throttle != 0.0


def test_the_first_second_is_neutral_whatever_is_pressed() -> None:
    drive = Drive()
    drive.step(0.5)
    drive.values["presses"] = 1
    drive.step(0.4)
    assert drive.state[0] == "starting" and drive.rules.refused == "the first second is neutral"
    drive.step(0.5)
    assert drive.state == ("disarmed", "") and not drive.moves


def test_an_armed_car_drives_and_the_rise_of_the_throttle_is_limited() -> None:
    drive = Drive().arm()
    assert drive.state == ("armed", "")
    seen = [drive.drive(1.0, 0.0, 0.01).rules.output.throttle for _ in range(40)]
    assert seen == pytest.approx([min(0.25, 0.01 * (k + 1)) for k in range(40)])  # 1 per second, up to the cap
    assert drive.drive(0.0, 0.0, 0.01).rules.output.throttle == 0.0  # and it falls at once


def test_one_direction_leads_into_the_other_through_neutral_alone() -> None:
    drive = Drive().arm().drive(0.2)
    seen = [drive.drive(-0.2, 0.0, 0.01).rules.output.throttle for _ in range(30)]
    assert seen[0] == 0.0 and seen[1] == pytest.approx(-0.01) and seen[-1] == pytest.approx(-0.2)


def test_the_wish_of_a_lower_cap_holds_and_of_a_higher_one_does_not() -> None:
    drive = Drive().arm()
    assert drive.drive(1.0).step(0.1, cap=0.1).rules.output.throttle == pytest.approx(0.1)
    assert drive.drive(1.0).step(0.4, cap=1.0).rules.output.throttle == pytest.approx(0.25)


def test_the_steering_is_limited_in_rate_and_with_the_throttle() -> None:
    drive = Drive(cap=1.0).arm()
    seen = [drive.drive(0.0, 1.0, 0.01).rules.output.steer for _ in range(30)]
    assert seen == pytest.approx([min(1.0, 0.06 * (k + 1)) for k in range(30)])
    drive.drive(0.5, 1.0, 1.0)
    assert drive.rules.output == pytest.approx((1 - 0.6 * 0.5, 0.5))


@pytest.mark.parametrize(
    ("cause", "values", "at"),
    [("frame", {"frame_age": 0.151}, 0.01), ("frame", {"frame_age": 0.149}, None),
     ("heartbeat", {"hands_age": 0.201}, 0.01), ("heartbeat", {"hands_age": 0.199}, None),
     ("inference", {"missed": 2}, 0.01), ("inference", {"missed": 1}, None)],
)  # fmt: skip
def test_lateness_at_its_limit(cause: str, values: dict, at: float | None) -> None:
    drive = Drive().arm().drive()
    assert drive.moves
    drive.step(0.01, **values)
    if at is None:
        assert drive.state[0] == "armed" and drive.moves
    else:
        assert drive.state == ("late", cause) and not drive.moves


@pytest.mark.parametrize(("silence", "state"), [(0.19, "armed"), (0.22, "late")])
def test_commands_may_be_missing_for_200_ms(silence: float, state: str) -> None:
    drive = Drive(frame_age=9.0, hands_age=9.0).arm().drive()
    drive.silent = True
    drive.step(silence)
    assert drive.state[0] == state and drive.moves == (state == "armed")


def test_what_is_old_when_it_comes_is_no_fresh_command() -> None:
    """A program that was stopped sends first what lay in its queue."""
    drive = Drive().arm().drive()
    for _ in range(25):
        drive.now += 0.01
        drive.values["seq"] += 1
        drive.rules.command(CarCommand(**{**drive.values, "time": drive.now - 0.3}), drive.now)
        drive.rules.tick(drive.now)
    assert drive.state == ("late", "command") and not drive.moves


def test_numbers_that_do_not_rise_are_passed_over() -> None:
    drive = Drive(frame_age=9.0, hands_age=9.0).arm().drive()
    drive.step(0.25, seq=3)
    assert drive.state == ("late", "command") and not drive.moves


def test_two_good_commands_within_a_second_take_lateness_back() -> None:
    drive = Drive().arm().drive()
    drive.step(0.05, frame_age=0.5)
    assert drive.state == ("late", "frame")
    drive.step(0.01)
    assert drive.state[0] == "late" and not drive.moves  # one is not enough
    drive.step(0.02)
    assert drive.state == ("armed", "") and 0 < drive.rules.output.throttle < 0.03  # slowly again
    assert drive.rules.stops == {"frame": 1}


def test_two_commands_of_one_picture_or_one_heartbeat_are_one() -> None:
    for name in ("frame", "hands", "content"):
        drive = Drive().arm().drive()
        drive.step(0.05, frame_age=0.5)
        drive.step(0.9, **{name: 7_000})
        assert drive.state == ("late", "frame") and not drive.moves


def test_a_camera_that_freezes_while_something_else_is_late_gets_no_other_half_second() -> None:
    """Found by the matrix of faults on a busy machine: the car drove on for 0.5 s on a frozen picture."""
    drive = Drive().arm().drive(0.2, 0.0, 2.0)
    drive.step(0.02, frame_age=0.5, content=5)
    assert drive.state == ("late", "frame")
    assert not any(drive.step(0.01, content=5).moves for _ in range(300))
    assert drive.state == ("latched", "frame")


def test_a_car_that_stands_may_see_the_same_again() -> None:
    drive = Drive().arm()
    drive.step(0.02, frame_age=0.5, content=5)
    assert drive.state == ("late", "frame")
    assert drive.step(0.03, content=5).state == ("armed", "")


def test_after_a_second_of_lateness_nothing_but_a_person_arms() -> None:
    drive = Drive().arm().drive()
    drive.step(1.1, missed=9)
    assert drive.state == ("latched", "inference") and drive.rules.stops == {"inference": 1}
    drive.step(5.0)
    assert drive.state == ("latched", "inference") and not drive.moves
    drive.values["presses"] += 1
    drive.step(0.1)
    assert drive.rules.refused == "release the throttle first" and drive.state[0] == "latched"
    drive.drive(0.0, 0.0, 0.5)
    drive.values["presses"] += 1
    drive.step()
    assert drive.state == ("armed", "")
    assert drive.drive().moves


def test_bad_ones_between_good_ones_do_not_count() -> None:
    drive = Drive().arm().drive()
    for _ in range(60):
        drive.step(0.01, missed=5)
        drive.step(0.01)
    assert drive.state == ("latched", "inference")


def test_pictures_must_change_while_the_car_drives() -> None:
    drive = Drive().arm()
    drive.step(3.0, content=5)
    assert drive.state[0] == "armed"  # it stands
    drive.values |= dict(throttle=0.2)
    drive.step(0.5, content=5)
    assert drive.state[0] == "armed"  # it may take this long to get going
    drive.step(0.02, content=5)
    assert drive.state == ("late", "frozen") and not drive.moves
    drive.step(2.0, content=5)
    assert drive.state == ("latched", "frozen") and not drive.moves


def test_a_picture_that_freezes_on_the_way_stops_within_170_ms() -> None:
    drive = Drive().arm().drive(0.2, 0.0, 2.0)
    seen = [drive.step(0.01, content=5).moves for _ in range(100)]
    assert 14 <= seen.index(False) <= 17


WRONG = (("steer", math.nan), ("throttle", math.inf), ("throttle", 99.0), ("steer", -1.01), ("frame_age", math.nan),
         ("frame_age", -0.1), ("hands_age", math.inf), ("cap", 2.0), ("cap", math.nan))  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_one_wrong_value_latches_at_once(name: str, value: float) -> None:
    drive = Drive().arm().drive()
    drive.step(0.01, **{name: value})
    assert drive.state == ("latched", "value") and not drive.moves
    drive.step(3.0)
    assert drive.state == ("latched", "value") and drive.rules.stops == {"value": 1}


def test_a_command_of_the_future_is_a_wrong_value() -> None:
    drive = Drive().arm().drive()
    drive.rules.command(CarCommand(**{**drive.values, "seq": 10**6, "time": drive.now + 60}), drive.now)
    assert drive.state == ("latched", "value")


@pytest.mark.parametrize(
    "cause", [cause for cause in CAUSES if cause not in LATE and cause not in ("disarmed", "ended")]
)
def test_every_other_fault_latches_at_once(cause: str) -> None:
    drive = Drive().arm().drive(0.2, 0.8, 1.0)
    held = drive.rules.output.steer
    drive.rules.fault(cause, drive.now)
    drive.step(0.01)
    assert drive.state == ("latched", cause) and drive.rules.output == (held, 0.0)
    drive.step(0.27)
    assert drive.rules.output == (held, 0.0)  # the steering stays for 0.3 s
    drive.step(0.5)
    assert drive.rules.output == (0.0, 0.0)
    drive.step(3.0)
    assert drive.state == ("latched", cause) and drive.rules.stops[cause] == 1


def test_leaving_a_car_that_stands_is_no_fault() -> None:
    drive = Drive().step(1.5)
    for cause in LEFT:
        drive.rules.fault(cause, drive.now)
    assert drive.state == ("disarmed", "") and not drive.rules.stops


def test_an_emergency_stop_that_is_held_down_arms_nothing() -> None:
    drive = Drive().arm().drive()
    drive.rules.hold("emergency button", True, drive.now)
    drive.drive(0.0, 0.0, 1.0)
    drive.values["presses"] += 1
    drive.step()
    assert drive.rules.refused == "the emergency stop is still pressed"
    drive.rules.hold("emergency button", False, drive.now)
    drive.step(3.0)
    assert drive.state == ("latched", "emergency button")  # to let go of it arms nothing either
    drive.values["presses"] += 1
    assert drive.step().state[0] == "armed"


def test_an_emergency_stop_holds_in_every_state() -> None:
    for prepare in (lambda d: d, lambda d: d.step(1.5), lambda d: d.arm(), lambda d: d.arm().step(2.0, missed=9)):
        drive = prepare(Drive())
        drive.rules.fault("emergency page", drive.now)
        assert drive.state == ("latched", "emergency page") and drive.rules.stops["emergency page"] == 1


def test_presses_from_before_the_guardian_arm_nothing() -> None:
    drive = Drive()
    drive.values["presses"] = 41
    assert drive.step(2.0).state[0] == "disarmed"


def test_a_person_disarms_and_arms_again() -> None:
    drive = Drive().arm().drive()
    drive.step(0.01, armed=False)
    assert drive.state == ("disarmed", "disarmed") and not drive.moves
    assert drive.step(1.0).state[0] == "disarmed"


def test_a_late_car_is_not_armed_by_a_press() -> None:
    drive = Drive().step(1.5)
    drive.values["presses"] += 1
    drive.step(0.05, missed=5)
    assert drive.state[0] == "disarmed" and drive.rules.refused == CAUSES["inference"]


def test_the_end_is_neutral_for_good() -> None:
    drive = Drive().arm().drive(0.2, 1.0)
    drive.rules.end(drive.now)
    drive.values["presses"] += 1
    drive.step(0.5)
    assert drive.state == ("ended", "ended") and drive.rules.output == (0.0, 0.0)
    assert drive.rules.stops == {"ended": 1}


def test_lateness_whose_cause_is_found_is_one_stop() -> None:
    drive = Drive().arm().drive()
    drive.silent = True
    drive.step(0.25)
    drive.rules.fault("program stopped", drive.now)
    assert drive.rules.status()["causes"] == {"program stopped": 1} and drive.rules.status()["stops"] == 1


@pytest.mark.parametrize("cause", ["emergency page", "disarmed"])
def test_what_a_person_does_to_a_late_car_does_not_hide_why_it_was_late(cause: str) -> None:
    drive = Drive().arm().drive()
    drive.step(0.05, frame_age=0.5)
    if cause == "disarmed":
        drive.step(0.01, frame_age=0.5, armed=False)
    else:
        drive.rules.fault(cause, drive.now)
    assert drive.state[1] == cause and drive.rules.status()["causes"] == {"frame": 1, cause: 1}


def test_a_command_survives_the_wire() -> None:
    command = CarCommand(**{**FRESH, "seq": 2**40, "time": 1.5, "steer": -0.25, "content": 2**32 - 1})
    assert command_of(command.packed()) == command
    assert math.isnan(command_of(command._replace(throttle=math.nan).packed()).throttle)
    for wrong in (b"", b"car1", command.packed()[:-1], command.packed() + b"x", b"CAR1" + command.packed()[4:]):
        assert command_of(wrong) is None

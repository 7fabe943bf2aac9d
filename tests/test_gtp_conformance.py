"""The conformance checks themselves: one wrong answer says nothing about those behind it."""

from __future__ import annotations

from experiments.go.conformance import Check, examine


class Program:
    """A GTP program of few words: `two` is answered twice, `none` not at all, `bad` with nonsense."""

    def __init__(self):
        self.pending: list[str] = []

    def send(self, data: bytes) -> None:
        for line in data.decode().splitlines():
            number = line.split()[0] if line.split()[0].isdigit() else ""
            command = line.removeprefix(number).split()[0]
            said = {"protocol_version": " 2", "bad": " nonsense"}.get(command, "")
            self.pending += [f"={number}{said}"] * {"two": 2, "none": 0}.get(command, 1)

    def answer(self) -> str:
        return self.pending.pop(0)


def test_all_answers_of_a_check_are_read():
    program = Program()
    good = Check("good", "protocol_version\nname\n", ("= 2", "="))
    for wrong, words in (
        (Check("first", "bad\nname\nprotocol_version\n", ("=", "=", "= 2")), "answer 1 is '= nonsense'"),
        (Check("many", "two\nname\n", ("=", "=")), "3 answers to 2 commands"),
        (Check("few", "none\nname\n", ("=", "=")), "1 answers to 2 commands"),
    ):
        assert words in examine(program, wrong)
        assert program.pending == [] and examine(program, good) == ""

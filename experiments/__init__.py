"""Programs: train, watch, play, evaluate, compare, bench, ... Each is ``python -m experiments.NAME`` and ``joypad NAME``."""

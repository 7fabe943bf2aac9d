"""Programs: train, watch, play, evaluate, compare, bench, ...; ``python -m experiments.NAME`` or ``joypad NAME``."""

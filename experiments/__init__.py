"""Programs: train, watch, play, evaluate, compare, bench, ...; ``python -m experiments.NAME`` or ``joypad NAME``."""

import os

# Torch's threads that wait for the others spin for some 300,000 rounds before they sleep, on processors that the
# emulators need; far fewer are as good for torch (docs/log.md). Read once, when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

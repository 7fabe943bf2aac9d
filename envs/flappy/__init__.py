"""Flappy Bird from pixels: `rules` (physics), `art` (the drawings), `draw` (pictures), `env` (Gymnasium)."""

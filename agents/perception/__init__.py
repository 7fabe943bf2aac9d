"""Pixels -> features, the same code for the games and for the car."""

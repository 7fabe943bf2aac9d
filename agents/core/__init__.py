"""Shared by every agent; knows no game and no algorithm."""

"""What ``python -m experiments.bench NAME`` measures; each module times peers alternately in one process."""

"""The GTP engine with every command: importing this registers them all. Whoever makes an engine takes it from here."""

from experiments.go import analysis, extras, files, kata_params, kata_rules, standard, timing  # noqa: F401
from experiments.go.engine import Engine as Engine

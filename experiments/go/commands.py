"""Every command of the GTP program: importing this registers them all."""

from experiments.go import analysis, extras, files, kata_params, kata_rules, standard, timing  # noqa: F401

"""Driving data and figures: what `record`, `data`, `evaluate --tracks` and `train --data` stand on."""

"""Training on a Ray cluster: loaded only where `--cluster` asks for it."""

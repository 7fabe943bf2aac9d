"""What the Go programs share: the text protocol, players, matches and their statistics. Torch-free."""

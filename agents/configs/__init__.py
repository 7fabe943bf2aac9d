"""What can be set of each algorithm: a file beside the algorithm of the same name, and nothing heavy is imported."""

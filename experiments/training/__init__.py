"""What `train` stands on: its options, and the hooks of its loop."""

"""What `sweep` stands on: the space that it searches, and its trials."""

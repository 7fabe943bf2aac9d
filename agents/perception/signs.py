"""What a network says of traffic signs: the names of its numbers."""

SIGNS = ("none", "stop", "other")

"""Games that are played in a window of their own (`Description.window`): recordings of people, and their suite."""

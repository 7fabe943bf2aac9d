"""What the tests of `watch` and `play` share beside the fixture `runs`."""


def take(player, count):
    """The next pictures of a player."""
    frames = player.frames()
    return [next(frames) for _ in range(count)]


# What is watched

"""A tiny game in a window, for the tests of the screen: a ball falls, a paddle catches it. Run as a program.

The score stands as digits at the top left, lives are red squares at the top right. Space begins a new game.
"""

import sys
import time

GLYPHS = {  # 3x5
    "0": "### #.# #.# #.# ###", "1": ".#. ##. .#. .#. ###", "2": "### ..# ### #.. ###", "3": "### ..# ### ..# ###",
    "4": "#.# #.# ### ..# ..#", "5": "### #.. ### ..# ###", "6": "### #.. ### #.# ###", "7": "### ..# ..# ..# ..#",
    "8": "### #.# ### #.# ###", "9": "### #.# ### ..# ###",
}  # fmt: skip
WIDE, HIGH = 160, 120


def profile(path, **more):
    """A profile of this game, as a file; its name."""
    lines = [
        'title = "Toy"', f'command = ["{{python}}", "{__file__}", "{{seed}}"]', 'window = "^Toy catcher"',
        f"size = [{WIDE}, {HIGH}]", "display = [240, 200]", f"rate = {more.get('rate', 20.0)}",
        f"seconds = {more.get('seconds', 20.0)}", f"still = {more.get('still', 5.0)}", 'reset = ["space"]',
        'over = ["lives <= 0"]', "over_ticks = 2", 'score = "score"', "masks = [[0.0, 0.0, 1.0, 0.1]]",
        "[reward_change]", "score = 1.0",
        "[actions]", "nothing = []", 'left = ["Left"]', 'right = ["Right"]', "[axes]", 'move = ["Left", "Right"]',
        "[readers.score]", 'kind = "digits"', "box = [0, 0, 60, 9]", "colour = [255, 255, 255]",
        "[readers.score.glyphs]", *(f'"{sign}" = "{text}"' for sign, text in GLYPHS.items()),
        "[readers.lives]", 'kind = "blobs"', "box = [100, 0, 160, 9]", "colour = [255, 0, 0]",
    ]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def main():
    import numpy as np
    import pygame

    rng = np.random.default_rng(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    pygame.display.init()
    screen = pygame.display.set_mode((WIDE, HIGH), pygame.RESIZABLE)
    pygame.display.set_caption("Toy catcher")
    score, lives, paddle, ball, down = 0, 3, 80.0, [80.0, 20.0], set()
    while True:
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                return
            if event.type == pygame.KEYDOWN:
                down.add(event.key)
                if event.key == pygame.K_SPACE:
                    score, lives, ball = 0, 3, [float(rng.uniform(20, 140)), 20.0]
            if event.type == pygame.KEYUP:
                down.discard(event.key)
        if lives:
            paddle += 4.0 * ((pygame.K_RIGHT in down) - (pygame.K_LEFT in down))
            paddle = min(max(paddle, 15.0), WIDE - 15.0)
            ball[1] += 4.0
            if ball[1] > HIGH - 10:
                if abs(ball[0] - paddle) < 18:
                    score += 1
                else:
                    lives -= 1
                ball = [float(rng.uniform(20, 140)), 20.0]
        picture = np.zeros((HIGH, WIDE, 3), np.uint8)
        picture[12:] = (20, 40, 60)
        picture[int(ball[1]) - 4 : int(ball[1]) + 4, int(ball[0]) - 4 : int(ball[0]) + 4] = (250, 250, 0)
        picture[HIGH - 6 :, int(paddle) - 15 : int(paddle) + 15] = (0, 250, 0)
        for i, sign in enumerate(str(score)):
            glyph = np.array([[c == "#" for c in row] for row in GLYPHS[sign].split()])
            picture[2:7, 2 + 5 * i : 5 + 5 * i][glyph] = 255
        for i in range(lives):
            picture[2:7, 110 + 8 * i : 115 + 8 * i] = (255, 0, 0)
        screen.blit(pygame.surfarray.make_surface(picture.swapaxes(0, 1)), (0, 0))
        pygame.display.flip()
        time.sleep(1 / 60)


if __name__ == "__main__":
    main()

"""The one window of the lab: pygame's, resizable, with a picture as large as fits."""

from __future__ import annotations

from typing import Any


class PygameWindow:
    """Opened by its first picture; `close` it. Keys and mouse are left to whoever shows something in it.

    enlarged: pixels of a new window per pixel of the picture. Raises pygame.error where there is no display.
    """

    def __init__(self, title: str, enlarged: int = 1):
        import pygame

        self.pygame, self.title, self._enlarged = pygame, title, enlarged
        pygame.display.init()
        self.screen: Any = None
        self.scale, self.corner = 1.0, (0, 0)  # pixels of the window per pixel of the picture, and its corner there
        self._fitting: tuple[int, int] | None = None  # size of the window that the picture asks for
        self._clock = pygame.time.Clock()

    def draw(self, picture: Any, fps: float = 0.0) -> None:
        """Shows RGB uint8 [H, W, 3] or a surface, and waits for the next picture's time (`fps` 0: does not)."""
        pygame = self.pygame
        drawn = isinstance(picture, pygame.Surface)
        surface = picture if drawn else pygame.surfarray.make_surface(picture.swapaxes(0, 1))
        width, height = surface.get_size()
        self._open(width * self._enlarged, height * self._enlarged)
        pygame.event.pump()
        wide, high = self.screen.get_size()
        self.scale = min(wide / width, high / height)
        size = max(1, round(width * self.scale)), max(1, round(height * self.scale))
        self.corner = (wide - size[0]) // 2, (high - size[1]) // 2
        if size != (width, height):
            enlarge = pygame.transform.scale if self.scale == int(self.scale) else pygame.transform.smoothscale
            surface = enlarge(surface, size)
        self.screen.fill((0, 0, 0))
        self.screen.blit(surface, self.corner)
        pygame.display.set_caption(self.title)
        pygame.display.flip()
        if fps:
            self._clock.tick(fps)

    def _open(self, width: int, height: int) -> None:
        """The window for a picture of that size. Where the picture's size changes, a size that a person chose stays."""
        if self._fitting == (width, height):
            return
        chosen = self.screen is not None and self._fitting != self.screen.get_size()
        self._fitting = (width, height)
        if not chosen:
            self.screen = self.pygame.display.set_mode((width, height), self.pygame.RESIZABLE)

    def place(self, point: tuple[int, int]) -> tuple[float, float]:
        """A point of the window, such as a click's, in pixels of the picture."""
        x, y = ((at - edge) / self.scale for at, edge in zip(point, self.corner, strict=True))
        return x, y

    def close(self) -> None:
        """Closes the window."""
        self.pygame.display.quit()

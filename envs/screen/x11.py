"""X11: windows and keys through python-xlib, pictures through mss (XShm). Both come with the extra `screen`."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from envs.screen.display import XVFB, Desktop, Place
from envs.screen.faults import DisplayLost, ScreenFault

EXTRA = 'games on the screen need mss and python-xlib: pip install -e ".[screen]"'
DEPTH = 4  # levels of windows below the root that are looked at: frames of window managers lie between


def libraries() -> SimpleNamespace:
    """The modules of mss and python-xlib that are used. Raises ScreenFault where they are not installed."""
    try:
        import mss
        from Xlib import XK, X, Xatom, display, error
        from Xlib.ext import composite, xtest
    except ImportError:
        raise ScreenFault(EXTRA) from None
    known = dict(X=X, XK=XK, Xatom=Xatom, display=display, error=error, xtest=xtest, composite=composite)
    return SimpleNamespace(mss=mss, **known)


class X11Desktop(Desktop):
    """A display of X11, such as `:0` or Xvfb's."""

    def __init__(self, name: str, own: bool = False):
        self.lib, self.name, self._closed = libraries(), name, False
        try:
            self.display = self.lib.display.Display(name)
        except (self.lib.error.DisplayError, self.lib.error.ConnectionClosedError, OSError) as fault:
            raise ScreenFault(f"the display {name} cannot be opened ({' '.join(str(fault).split())}); {XVFB}") from None
        self.root = self.display.screen().root
        # Words of this client's protocol errors belong to windows that close while they are asked.
        self.display.set_error_handler(lambda *words: None)
        self.root.change_attributes(event_mask=self.lib.X.SubstructureNotifyMask)
        if own and self.display.query_extension("Composite") is not None:
            self.root.composite_redirect_subwindows(self.lib.composite.RedirectAutomatic)
        screen = self.display.screen()
        self.size = screen.width_in_pixels, screen.height_in_pixels
        self._mss = self.lib.mss.MSS(display=name)
        self._known: dict[int, Place | None] = {}  # place of each window, as long as no event tells of a change

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Within: a server that has gone is DisplayLost. (A window that has gone is the caller's affair.)"""
        if self._closed:
            raise DisplayLost(f"the display {self.name} is closed")
        error = self.lib.error
        try:
            yield
        except (error.ConnectionClosedError, error.DisplayConnectionError, BrokenPipeError, ConnectionError) as fault:
            raise DisplayLost(f"the display {self.name} has gone ({type(fault).__name__})") from None

    def _windows(self) -> Iterator[Any]:
        """Every window that is mapped, those on top last."""

        def below(window: Any, depth: int) -> Iterator[Any]:
            for child in window.query_tree().children:
                with contextlib.suppress(self.lib.error.XError):
                    if child.get_attributes().map_state != self.lib.X.IsUnmapped:
                        yield child
                        if depth < DEPTH:
                            yield from below(child, depth + 1)

        with contextlib.suppress(self.lib.error.XError):
            yield from below(self.root, 1)

    def _names(self, window: Any) -> list[str]:
        with contextlib.suppress(self.lib.error.XError):
            return [self.title(window), *(window.get_wm_class() or ())]
        return []

    def find(self, pattern: str, largest: bool = False) -> Any | None:
        """Returns the window on top whose title or class fits."""
        fits, best, area = re.compile(pattern), None, 0
        with self._asking():
            found = list(self._windows())
            if pattern:
                for window in reversed(found):
                    if any(fits.search(name) for name in self._names(window) if name):
                        return window
            for window in found if largest else ():
                with contextlib.suppress(self.lib.error.XError):
                    shape = window.get_geometry()
                    if shape.width * shape.height > area:
                        best, area = window, shape.width * shape.height
        return best

    def titles(self) -> list[str]:
        """Returns the titles of all windows that are shown."""
        with self._asking():
            return list(dict.fromkeys(title for window in self._windows() if (title := self.title(window))))

    def title(self, window: Any) -> str:
        """Returns the title; the modern property first."""
        with self._asking(), contextlib.suppress(self.lib.error.XError, UnicodeDecodeError):
            modern = window.get_full_text_property(self.display.intern_atom("_NET_WM_NAME"))
            found = modern or window.get_full_text_property(self.lib.Xatom.WM_NAME) or ""
            return found if isinstance(found, str) else found.decode("utf-8", "replace")
        return ""

    def place(self, window: Any) -> Place | None:
        """Returns where the window stands. Asked of the server only after something on the display has changed."""
        with self._asking():
            if self.display.pending_events():
                self._known.clear()
                while self.display.pending_events():
                    self.display.next_event()
            if window.id not in self._known:
                self._known[window.id] = self._ask(window)
            return self._known[window.id]

    def _ask(self, window: Any) -> Place | None:
        error = self.lib.error
        try:
            shape = window.get_geometry()
            corner = window.translate_coords(self.root, 0, 0)
            state = window.get_attributes().map_state
            top = self._top(window)
            x, y = -corner.x, -corner.y
            covered = self._covers(top, x, y, shape.width, shape.height)
            return Place(x, y, shape.width, shape.height, state == self.lib.X.IsViewable, covered)
        except (error.XError, AttributeError, TypeError, ValueError):
            return None  # the window has gone meanwhile: python-xlib answers with nothing, or its frame is not listed

    def _top(self, window: Any) -> Any:
        """The window's ancestor just below the root."""
        while True:
            parent = window.query_tree().parent
            if parent.id == self.root.id:
                return window
            window = parent

    def _covers(self, top: Any, x: int, y: int, width: int, height: int) -> bool:
        """Does a window above it lie over a part of this rectangle?"""
        children = self.root.query_tree().children
        above = children[[child.id for child in children].index(top.id) + 1 :]
        for other in above:
            with contextlib.suppress(self.lib.error.XError):
                attributes, shape = other.get_attributes(), other.get_geometry()
                if attributes.map_state != self.lib.X.IsViewable or attributes.win_class == self.lib.X.InputOnly:
                    continue
                beside = shape.x >= x + width or x >= shape.x + shape.width
                if not beside and not (shape.y >= y + height or y >= shape.y + shape.height):
                    return True
        return False

    def grab(self, place: Place) -> np.ndarray:
        """Returns the picture, RGB."""
        left, top = max(place.x, 0), max(place.y, 0)
        right, bottom = min(place.x + place.width, self.size[0]), min(place.y + place.height, self.size[1])
        if right <= left or bottom <= top:
            return np.zeros((place.height, place.width, 3), np.uint8)
        box = {"left": left, "top": top, "width": right - left, "height": bottom - top}
        try:
            shot = self._mss.grab(box)
        except self.lib.mss.ScreenShotError as fault:
            raise DisplayLost(f"the display {self.name} gives no picture ({fault})") from None
        seen = np.frombuffer(shot.raw, np.uint8).reshape(shot.height, shot.width, 4)[..., 2::-1]
        if seen.shape[:2] == (place.height, place.width):
            return np.ascontiguousarray(seen)
        whole = np.zeros((place.height, place.width, 3), np.uint8)
        whole[top - place.y : bottom - place.y, left - place.x : right - place.x] = seen
        return whole

    def restore(self, window: Any, size: tuple[int, int] | None = None) -> None:
        """Shows the window, lifts it, gives it the keyboard; a window beside the display comes back to its corner."""
        X = self.lib.X
        with self._asking(), contextlib.suppress(self.lib.error.XError):
            window.map()
            top = self._top(window)
            top.configure(stack_mode=X.Above)
            if size is not None:
                shape = top.get_geometry()
                outside = shape.x < 0 or shape.y < 0 or shape.x + size[0] > self.size[0]
                if outside or shape.y + size[1] > self.size[1]:
                    top.configure(x=0, y=0)
                window.configure(width=size[0], height=size[1])
            self.display.sync()
            window.set_input_focus(X.RevertToPointerRoot, X.CurrentTime)
            self.display.sync()
            self._known.clear()

    def focused(self, window: Any) -> bool:
        """Tells whether the keyboard is the window's, or that of the window under the pointer."""
        with self._asking(), contextlib.suppress(self.lib.error.XError):
            focus = self.display.get_input_focus().focus
            if isinstance(focus, int):  # none, or the one under the pointer
                return focus != self.lib.X.NONE
            while focus.id not in (window.id, self.root.id):
                focus = focus.query_tree().parent
            return focus.id == window.id
        return False

    def identity(self, window: Any) -> str:
        """Returns the display, without the number of its screen (`:0.0` is `:0`), and the number of the window."""
        return f"{re.sub(r'[.][0-9]+$', '', self.name)}-{window.id:x}"

    def codes(self, keys: tuple[str, ...]) -> Mapping[str, int]:
        """Returns the codes of keys by X's names, such as Left, space, a, Control_L."""
        found = {}
        for key in keys:
            code = self.display.keysym_to_keycode(self.lib.XK.string_to_keysym(key))
            if not code:
                raise ScreenFault(f"the keyboard has no key {key!r}: names are X's, such as Left, space, a, Control_L")
            found[key] = int(code)
        return found

    def held(self) -> frozenset[int]:
        """Returns the codes of the keys that are down."""
        with self._asking():
            bits = self.display.query_keymap()
        return frozenset(8 * i + k for i, byte in enumerate(bits) if byte for k in range(8) if byte >> k & 1)

    def let_go(self, codes: Iterable[int]) -> None:
        """Lets go of keys that are down: X11 keeps down what a client that has ended has pressed."""
        down = self.held()
        with self._asking():
            for code in down.intersection(codes):
                self.lib.xtest.fake_input(self.display, self.lib.X.KeyRelease, code)
            self.display.sync()

    def close(self) -> None:
        """Leaves the display."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(Exception):  # the server may have gone; nothing of it is needed any more
            self._mss.close()
        with contextlib.suppress(self.lib.error.ConnectionClosedError, OSError):
            self.display.close()

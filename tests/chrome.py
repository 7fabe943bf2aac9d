"""Chromium without a window, by the DevTools protocol over aiohttp: for tests of pages."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import aiohttp
from programs import tool

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--mute-audio",
    "--disable-dev-shm-usage", "--remote-debugging-port=0",
)  # fmt: skip


class Chrome:
    """One browser with one page. Every method waits for its result; `faults` collects errors of the page."""

    def __init__(self, folder: Path):
        self.process = subprocess.Popen(
            [tool("chromium", "chromium-browser", "google-chrome"), *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        port = self._port(folder / "DevToolsActivePort")
        self.faults: list[str] = []
        self._answers: dict[int, asyncio.Future] = {}
        self._number = 0
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self._run(self._attach(port))

    def _port(self, path: Path) -> str:
        for _ in range(600):
            if path.exists() and (lines := path.read_text().split()):
                return lines[0]
            time.sleep(0.1)
        self.process.kill()
        raise TimeoutError("chromium did not start within a minute")

    def _run(self, coroutine: Any, timeout: float = 120) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    async def _attach(self, port: str) -> None:
        self.session = aiohttp.ClientSession()
        async with self.session.get(f"http://127.0.0.1:{port}/json") as reply:
            pages = [target for target in await reply.json() if target["type"] == "page"]
        self.socket = await self.session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)
        self._reader = asyncio.create_task(self._read())
        for domain in ("Page", "Runtime", "Log"):
            await self._call(f"{domain}.enable")

    async def _read(self) -> None:
        async for frame in self.socket:
            message = json.loads(frame.data)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
            elif message["method"] == "Runtime.exceptionThrown":
                self.faults.append(json.dumps(message["params"]["exceptionDetails"])[:800])
            elif message["method"] == "Runtime.consoleAPICalled" and message["params"]["type"] == "error":
                told = [each.get("description") or each.get("value") for each in message["params"]["args"]]
                self.faults.append(f"console.error {told}"[:800])
            elif message["method"] == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.faults.append(message["params"]["entry"]["text"])

    async def _call(self, method: str, **params: Any) -> Any:
        self._number += 1
        answer = self._answers[self._number] = self.loop.create_future()
        await self.socket.send_str(json.dumps({"id": self._number, "method": method, "params": params}))
        message = await answer
        if "navigated or closed" in str(message.get("error")):  # the page gave way to another one: ask that
            return await self._call(method, **params)
        assert "error" not in message, message
        return message["result"]

    def call(self, method: str, **params: Any) -> Any:
        return self._run(self._call(method, **params))

    def open(self, address: str) -> None:
        told = self.call("Page.navigate", url=address)
        assert "errorText" not in told, f"{address}: {told['errorText']}"
        self.wait("document.readyState === 'complete'")

    def eval(self, expression: str) -> Any:
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, expression: str, timeout: float = 60) -> Any:
        """The first value of the expression that is true. Raises TimeoutError, which tells the last one."""
        end = time.monotonic() + timeout
        while not (value := self.eval(expression)):
            if time.monotonic() > end:
                page = self.eval("`${location.href}: ${document.body?.innerText.slice(0, 300)}`")
                told = f"{expression} is still {value!r} after {timeout} s; faults: {self.faults}; page: {page}"
                raise TimeoutError(told)
            time.sleep(0.05)
        return value

    def key(self, key: str, down: bool = True, up: bool = True) -> None:
        """Presses a key as a person does: "p", "ArrowLeft", " ", "Tab"."""
        codes = {"Tab": 9, "Enter": 13, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        about = {"key": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper()))}
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        if down:
            self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **about)
        if up:
            self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def look(self, width: int, height: int, *, mobile: bool = False, dark: bool = False) -> None:
        """A size of the page, and light or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path, **clip: Any) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png", **clip)["data"]))

    def close(self) -> None:
        self._run(self.session.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.process.terminate()
        self.process.wait(30)

"""The network on another computer than the car's: a client of the car's page that answers its pictures."""

from __future__ import annotations

import asyncio
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from envs.car import CarError
from envs.car.model import CarModel
from envs.text import shown
from experiments.car.client import parsed

PATIENCE = 10.0  # time to connect, s


def run(place: str, folder: Path) -> None:
    """Answers until the car ends or Ctrl-C. place: the address that the car's `drive` printed. Raises CarError."""
    import aiohttp

    model = CarModel(folder)
    parts = parsed(place)
    if parts is None:
        told = "must be the whole address that the car's drive printed, with its token"
        raise CarError(f"--remote {shown(place)}: {told}")
    try:
        asyncio.run(_answer(parts, model))
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as fault:
        status = getattr(fault, "status", None)
        told = "it refuses this token" if status == 403 else str(fault) or type(fault).__name__
        raise CarError(f"--remote {parts.netloc}: {told}") from None


async def _answer(parts: Any, model: CarModel) -> None:
    import aiohttp

    address = f"ws://{parts.netloc}/drive/ws?{parts.query}"
    async with aiohttp.ClientSession() as session:
        socket = await asyncio.wait_for(session.ws_connect(address, max_msg_size=2**24), PATIENCE)
        print(f"{model.title} answers the pictures of {parts.netloc} (Ctrl-C ends)", flush=True)
        sight = Sighted()
        async for frame in socket:
            if frame.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                break  # the connection has broken
            try:
                answered = sight.heard(frame.data)
            except (ValueError, KeyError, TypeError, AttributeError, OSError) as fault:
                if isinstance(fault, CarError):
                    raise
                raise CarError(f"--remote {parts.netloc}: what answers there is no car: {shown(str(fault))}") from None
            if answered is None:
                continue
            if answered and (told := _told(model, sight)):
                await socket.send_json(told)
            await socket.send_json({"type": "ready"})
    print("the car has ended")


class Sighted:
    """What the car has sent: its newest picture and the number of it."""

    def __init__(self) -> None:
        self.picture: np.ndarray | None = None
        self.number = -1
        self._answered = -1

    def heard(self, data: str | bytes) -> bool | None:
        """True at the end of a delivery with a new picture, False at that of another one, None before."""
        from PIL import Image

        if isinstance(data, bytes):
            length = int.from_bytes(data[:4], "big")
            image = Image.open(io.BytesIO(data[4 + length :]), formats=("PNG", "JPEG"))
            self.picture = np.asarray(image.convert("RGB"))
            return None
        message = json.loads(data)
        if message["type"] == "state" and message["state"].get("picture") is not None:
            self.number = message["state"]["picture"]
        if message["type"] == "error":
            raise CarError(f"--remote: the car says: {shown(message['message'])}")
        if message["type"] != "end":
            return None
        fresh = self.picture is not None and self.number > self._answered
        self._answered = max(self._answered, self.number)
        return fresh


def _told(model: CarModel, sight: Sighted) -> dict[str, Any]:
    began = time.perf_counter()
    answer = model.look(sight.picture)
    value = {**answer._asdict(), "number": sight.number, "ms": (time.perf_counter() - began) * 1000}
    return {"type": "command", "name": "pilot", "value": value}

"""The web server attacked with bytes: odd requests, and clients that send or read nothing, or too much."""

import asyncio
import socket
import threading
import time

import pytest
from raw import DEEP, KINDS, Talker, answer, connect, request, rest

from experiments.web import address, page, values
from experiments.web.server import Server

LARGE = 24 * 2**20  # bytes, more than any buffer of the kernel takes


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "index.html").write_text("<!doctype html><title>here</title>")
    return tmp_path


@pytest.fixture
def serve(folder):
    """A function that makes a server with a page `here`; options are the server's."""
    made = []

    def found(path, query):
        if path == "large":
            return b"x" * LARGE, "text/plain"
        if path == "broken":
            raise KeyError("a fault of the program")
        return str(int(query.get("n", "0"))).encode(), "text/plain"

    def make(**options) -> Server:
        server = Server(**options)
        server.add_page("here", folder, title="<img src=x onerror=alert(1)>", on_get=found)
        server.start()
        made.append(server)
        return server

    yield make
    for server in made:
        server.stop()


def token(server) -> bytes:
    return f"Cookie: joypad-{server.port}={server.token}".encode()


def until(true, seconds=60.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_odd_requests_are_400_and_the_terminal_stays_silent(serve, caplog):
    server = serve()
    port, good = server.port, token(server)
    cookie = f"Cookie: joypad-{port}=".encode()
    for host in (b"[::1", b"[", b"]", b"[]", b"[x]", b"[::1]x", b"::1", b"127.0.0.1:x", b"127.0.0.1:1:2", b"a b",
                 b"/", b"@", b"http://127.0.0.1", b"127.0.0.1/x", b"127.0.0.1#", b"127.0.0.1?", b"\xff", "é".encode(),
                 b"", b"127.0.0.1:" + b"1" * 5000, b"127.0.0.1, evil"):  # fmt: skip
        assert answer(port, request("/here/", port, good, host=host))[0] == 400, host
    assert answer(port, b"GET /here/ HTTP/1.1\r\n" + good + b"\r\n\r\n")[0] == 400  # no Host at all
    assert answer(port, request("/here/", port, b"Host: localhost", good))[0] == 400  # two of them
    long = [f"/{start}{'x' * 5000}" for start in ("", "here/", "here/data/", "here/?", "here/ws?token=", "shared/")]
    for path in (*long, "/here/" + "a/" * 2500, "/here/data/x?n=1e3", "/here/data/x?n=", "/here/data/x?n=x"):
        assert answer(port, request(path, port, good))[0] == 400, path
    for value in (b"\xff\xfe", b"abc\x80", b"\xed\xa0\x80"):
        assert answer(port, request("/here/", port, cookie + value))[0] == 400, value
    for line in (b"Content-Length: x", b"A: " + b"x" * 9000, b"Bad Header: 1", b"no header", b"Content-Length: -1"):
        assert answer(port, request("/here/", port, good, line))[0] == 400, line
    for data in (b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"x" * 9000,
                 request(b"/here/\x01", port, good)):  # fmt: skip
        assert answer(port, data)[0] == 400, data
    assert answer(port, request("/here/", port, b"Cookie: other=\xff\xfe; " + good[8:]))[0] == 200  # of another program
    assert answer(port, request("/here/", port, good))[0] == 200
    assert not caplog.records  # nothing in the terminal


def test_every_route_answers_every_kind_of_request(serve, caplog):
    server = serve()
    port, good = server.port, token(server)
    for path in ("/here/%00", "/here/%2e%2e/x", "/here/..\\x", "/here/" + "y" * 300, "/here//", "/shared/", "/here",
                 "/shared/..", "/x", "/shared/%ff", "/here/%", "/here/%u0041", "//", "/here/index.html/"):  # fmt: skip
        assert answer(port, request(path, port, good))[0] == 404, path
    for method in (b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH", b"CONNECT", b"BREW"):
        for path in ("/", "/here/", "/here/ws", "/here/data/x", "/shared/style.css"):
            assert answer(port, request(path, port, good, method=method))[0] in (400, 403, 404, 405), (method, path)
    status, text = answer(port, request("/here/", port, good, method=b"HEAD"))
    assert status == 200 and text.endswith(b"\r\n\r\n")
    assert answer(port, request("/here/ws", port, good))[0] in (400, 426)  # no handshake
    assert answer(port, request("/here/", port, good, b"Expect: 200-ok"))[0] == 417
    # The address with the token leads to the page, whatever it looks like: no header of its own, no other site
    for path in (
        "/here/%0d%0aSet-Cookie:x=1",
        "//evil.example/",
        "/\\evil.example",
        "/here/%E6%97%A5",
        "/%5Cevil.example",
    ):
        status, text = answer(port, request(f"{path}?token={server.token}", port))
        where = next((line for line in text.split(b"\r\n") if line.startswith(b"Location: ")), b"")
        assert status == 302 and where.startswith(b"Location: /") and where[11:12] not in b"/\\", (path, text)
        assert b"\r\nSet-Cookie: x" not in text
    assert not caplog.records  # nothing in the terminal
    status, _ = answer(port, request("/here/data/broken", port, good))  # a fault of ours: one line, no traceback
    (said,) = caplog.records
    assert status == 500 and not said.exc_info
    assert said.getMessage() == "joypad: /here/data/broken could not be answered: KeyError: 'a fault of the program'"


def test_titles_are_escaped_on_the_index_page(folder):
    server = Server()
    for name in ("one", "two"):
        server.add_page(name, folder, title=f'Recording <img src=x onerror=alert(1)> & "{name}"')
    with server:
        server.start()
        text = answer(server.port, request("/", server.port, token(server)))[1]
    assert b"<img" not in text and b"&lt;img" in text and b"&amp; &quot;two" in text


def test_half_sent_requests_are_closed(serve):
    """By the server, also where bytes trickle; the socket's own limit of a minute would end the test with an error."""
    server = serve(patience=0.2)
    whole = request("/here/", server.port, token(server))
    waiting = [connect(server.port) for _ in range(20)]
    for k, sock in enumerate(waiting):
        sock.sendall(whole[: k * len(whole) // 20])
    trickling, gone = connect(server.port), False
    for byte in whole[:-1] * 50:  # never a whole request: for 50 times as long as it takes
        try:
            trickling.sendall(bytes([byte]))
            time.sleep(0.01)
        except ConnectionError:
            gone = True
            break
    assert gone
    for sock in waiting:
        assert rest(sock) == b""
        sock.close()
    kept = connect(server.port)  # a whole one, and then nothing: the answer, then the end
    kept.sendall(whole)
    assert rest(kept).startswith(b"HTTP/1.1 200")
    kept.close()
    until(lambda: not server.connections.open)


def test_an_answer_that_nobody_reads_is_given_up_and_a_slow_reader_gets_all_of_it(serve):
    server = serve(patience=1.0)
    asked = request("/here/data/large", server.port, token(server), b"Connection: close")
    stalled, slow = connect(server.port, 4096), connect(server.port, 2**16)
    stalled.sendall(asked)
    slow.sendall(asked)
    got = 0
    while part := slow.recv(2**20):
        got += len(part)
        time.sleep(0.005)
    assert got > LARGE
    until(lambda: not server.connections.open)
    assert len(rest(stalled)) < LARGE
    for sock in (stalled, slow):
        sock.close()


def test_no_more_connections_than_the_limit(serve):
    server = serve()
    server.connections.most = 5
    held = [connect(server.port) for _ in range(5)]
    until(lambda: len(server.connections.open) == 5)
    whole = request("/here/", server.port, token(server), b"Connection: close")
    with connect(server.port) as refused:
        assert rest(refused).startswith(b"HTTP/1.1 503") and len(server.connections.open) == 5
    held[0].sendall(whole)  # those that are in are served
    assert rest(held[0]).startswith(b"HTTP/1.1 200")
    until(lambda: len(server.connections.open) == 4)
    assert answer(server.port, whole)[0] == 200
    for sock in held:
        sock.close()


@pytest.mark.parametrize(
    "flood", ["pings", "large pings", "pings of the protocol", "pongs", "nonsense", "bytes", "messages"]
)
def test_a_browser_that_never_reads_costs_no_memory(serve, flood, monkeypatch):
    """It holds a delivery up and sends on: what waits for it stays below the limits at every moment; it is let go."""
    server, most = serve(patience=0.5), [0, 0]
    put = page.Client.put

    def counted(client, message):
        put(client, message)
        most[:] = max(most[0], len(client.letters)), max(most[1], sum(map(len, client.letters)))
        assert client.bytes == sum(map(len, client.letters))

    monkeypatch.setattr(page.Client, "put", counted)
    here = server.pages["here"]
    here.publish(states={"now": "x" * LARGE})
    client = Talker(server.port, server.token, "here", buffer=4096)
    until(lambda: here.watchers == 1 and any(c._full for c in server.connections.open.values()))  # stuck in a send
    (seen,) = here.clients
    sent = 0
    try:
        for k in range(4 * page.MAILBOX):
            if flood == "pings":
                client.say(type="ping", sent=k)
            elif flood == "large pings":
                client.say(type="ping", sent="x" * 30_000)
            elif flood in ("pings of the protocol", "pongs"):
                client.frame(b"x" * 125, 9 if flood != "pongs" else 10)
            elif flood == "news":
                here.send({"type": "news", "text": "x" * 30_000})
            else:
                client.frame("{" if flood == "nonsense" else b"\xff" * 100, 1 if flood == "nonsense" else 2)
            sent += 1
    except ConnectionError:
        assert sent > page.MAILBOX or flood == "large pings"
    until(lambda: not here.watchers and not server.connections.open)  # at the latest after patience
    assert most[0] <= page.MAILBOX and most[1] <= page.ROOM
    assert seen.refused == (flood != "pongs") and not seen.letters
    client.close()
    assert answer(server.port, request("/here/", server.port, token(server)))[0] == 200


def test_messages_that_are_none_are_told_to_their_browser_alone(serve):
    server = serve()
    client, other = (Talker(server.port, server.token, "here") for _ in range(2))
    long = '{"type": "' + "x" * 50_000 + '"}'
    for text in ("{", "[]", "3", "null", '""', '{"type": 4}', '{"type": null}', "\x00", DEEP, '{"a":' * 9000,
                 "9" * 5000, long, "\ufeff{}", "NaN"):  # fmt: skip
        client.frame(text)
        message = client.hear("error")["message"]
        assert len(message) < 200 and not message.startswith("{")
    client.frame(b"\x00\x01", 2)
    assert "JSON object" in client.hear("error")["message"]
    client.frame(b"hello", 9)
    assert client.read() == (10, b"hello")
    client.say(type="ping", sent="now", ask=7)  # a page that waits for an answer hears that it was refused
    assert client.hear("error")["ask"] == 7
    for value in KINDS:
        client.say(type="ping", sent=value)
        assert client.hear("error", "pong")["type"] == (
            "pong" if type(value) in (int, float) and abs(value) <= 1e12 else "error"
        )
    other.say(type="ping", sent=1)
    assert other.hear("pong", "error")["sent"] == 1
    client.frame("x" * (page.LONGEST + 1))  # longer than a message may be: closed
    assert client.read()[0] == 8
    other.say(type="ping", sent=2)
    assert other.hear("pong", "error")["sent"] == 2
    for sock in (client, other):
        sock.close()


def test_stopping_does_not_wait_for_browsers_that_are_gone(folder):
    server = Server()
    server.add_page("here", folder, title="Here")
    server.start()
    stalled = [Talker(server.port, server.token, "here") for _ in range(8)]
    half = [connect(server.port) for _ in range(8)]
    stopping = threading.Thread(target=server.stop, daemon=True)
    stopping.start()
    stopping.join(8)  # each of them alone would take ten seconds
    assert not stopping.is_alive()
    for client in (*stalled, *half):
        client.close()


def test_hosts_and_ports_that_are_none_are_told_in_one_sentence():
    for host in ("", " ", "a b", "http://127.0.0.1", "127.0.0.1:80", "[::1]", "999.1.1.1", "1", "127.1", "1.2.3.4.5",
                 "::g", "x" * 300, "a." * 200, "\x00", "a\x00", "é", "日本", "*", "-", "/",
                 "localhost\n", "..", "."):  # fmt: skip
        with pytest.raises(ValueError, match="--host") as told:
            Server(host)
        assert len(str(told.value)) < 300
    for port in (-1, 2**16, 10**9):
        with pytest.raises(ValueError, match="--port"):
            Server(port=port)
    for host in ("127.0.0.1", "0.0.0.0", "::1", "::", "localhost", "my-machine", "a.b.example", "fe80::1%eth0"):
        address.check(host, 0)
    for host in ("there-is-no-such-machine.invalid", "x" * 60 + "." + "y" * 60 + ".invalid"):
        with pytest.raises(ValueError, match="there is no machine of that name"):
            Server(host).start()
    with pytest.raises(ValueError, match="is not an address of this machine"):
        Server("192.0.2.7").start()
    with Server() as there:
        there.start()
        with pytest.raises(ValueError) as told:
            Server(port=there.port).start()
        assert str(told.value).startswith(f"--port {there.port}: another program uses it") and "Errno" not in str(
            told.value
        )


def test_every_address_prints_the_one_in_the_local_network_and_warns(folder, monkeypatch):
    monkeypatch.setattr(address, "_in_network", lambda family: "192.168.1.5" if family == socket.AF_INET else None)
    assert address.shown("0.0.0.0") == "192.168.1.5" and address.shown("::") == "[::1]"
    assert address.shown("127.0.0.1") == "127.0.0.1" and address.shown("::1") == "[::1]"
    server = Server("0.0.0.0")
    page = server.add_page("here", folder, title="Here")
    with server:
        assert server.start(page) == f"http://192.168.1.5:{server.port}/here/?token={server.token}"
        assert "this address" in server.warning and Server().warning == ""
        good = token(server)
        assert answer(server.port, request("/here/", server.port, good, host=b"192.168.1.5"))[0] == 200
        assert answer(server.port, request("/here/", server.port, host=b"192.168.1.5"))[0] == 403


def test_types_refuse_every_other_kind():
    """Each type against its definition, over every kind of value."""
    whole = lambda v: type(v) in (int, float) and v == v and -5 <= v <= 5 and v == int(v)  # noqa: E731
    cases = {
        "nothing": (values.nothing, lambda v: v is None),
        "flag": (values.flag, lambda v: v is True or v is False),
        "whole": (values.whole(-5, 5), whole),
        "number": (values.number(-5, 5), lambda v: type(v) in (int, float) and -5 <= v <= 5),
        "text": (values.text(3), lambda v: isinstance(v, str) and len(v) <= 3),
        "choice": (values.text(9, ("x", "greedy")), lambda v: v in ("x", "greedy") and isinstance(v, str)),
        "items": (
            values.items(values.whole(-5, 5), 2),
            lambda v: isinstance(v, list) and len(v) <= 2 and all(map(whole, v)),
        ),
        "pair": (values.items(values.optional(values.flag), 2, 2), lambda v: v == [None, None]),
        "record": (values.record(a=values.whole(0, 5), b=values.optional(values.flag)), lambda v: v == {"a": 1}),
        "optional": (values.optional(values.flag), lambda v: v is True or v is False or v is None),
    }
    for name, (kind, right) in cases.items():
        accepted = 0
        for value in KINDS:
            if right(value):
                kind(value)
                accepted += 1
            else:
                with pytest.raises(ValueError, match=f"{name} ") as told:
                    values.take({name: kind}, name, value)
                assert len(str(told.value)) < 200, told
        assert 0 < accepted < len(KINDS), name
    for name in (*KINDS, "", "there"):
        with pytest.raises(ValueError, match="there is no command"):
            values.take({"here": values.flag}, name, True)


def test_a_name_that_no_resolver_takes_does_not_hang(monkeypatch):
    """UnicodeError, which is no OSError, from within the server's thread."""

    async def refuse(*args, **options):
        raise UnicodeError("label too long")

    server = Server()
    monkeypatch.setattr(server._loop, "create_server", refuse)
    with pytest.raises(ValueError, match="cannot listen"):
        server.start()
    assert asyncio.iscoroutinefunction(refuse)

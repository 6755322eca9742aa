"""`cuebox ctl`'s other end: a Unix socket that its owner alone may open. One JSON line comes, JSON lines go back."""

import asyncio
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path

import msgspec
import structlog

from service.observability.faults import where
from service.observability.onlooking import Line, Onlooker
from service.observability.watch import Watch
from service.orders import Order, Orders, Refused

LONGEST_ORDER = 4096
"""Bytes."""

PATIENCE = 10.0
"""How long an order may take to come, and its answer to be read, seconds."""

MOST_CLIENTS = 16

_WAITING = 64 * 1024
"""Bytes of an answer that wait in us until its reader is waited for."""


_LOG = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger("info"))
"""Whatever the level is: who looks for a change must find it."""


class Control:
    """Answers on the socket, for as long as it is open."""

    def __init__(self, orders: Orders, watch: Watch, on_change: Callable[[str], None] | None = None) -> None:
        """`on_change` is told the verb of each change."""
        self._orders, self._watch, self._on_change = orders, watch, on_change
        self._clients = 0

    @asynccontextmanager
    async def open(self, path: Path | None) -> AsyncIterator[None]:
        """Listen there; nowhere without a path, or where none can be made."""
        with nullcontext() if path is None else _listener(path) as listener:
            if listener is None:
                yield
                return
            async with asyncio.TaskGroup() as tasks:
                clients = set[asyncio.Task[None]]()

                def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                    clients.add(task := tasks.create_task(self._meet(reader, writer)))
                    task.add_done_callback(clients.discard)

                server = await asyncio.start_unix_server(meet, sock=listener, limit=LONGEST_ORDER)
                try:
                    yield
                finally:
                    server.close()
                    for client in clients:
                        client.cancel()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(_WAITING)
        self._clients += 1
        try:
            await self._answer(reader, writer)
        except OSError:
            pass  # it is gone, or does not read
        except Exception as error:  # noqa: BLE001 - calls go on
            structlog.get_logger().error("control.failed", error=type(error).__name__, where=where(error))
            writer.write(b'{"refused": "This failed, and the log has why (control.failed)."}\n')
        finally:
            self._clients -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            order = await self._read(reader)
            if order.verb == "watch":
                await self._show(order.name, writer)
            else:
                for line in self._orders.carry_out(order):
                    if line.get("before") != line.get("after"):
                        self._note(line, _who(writer))
                    await _write(writer, line)
        except Refused as refused:
            await _write(writer, {"refused": str(refused)})

    def _note(self, change: Line, who: str) -> None:
        _LOG.warning("control.changed", who=who, **change)
        if self._on_change is not None:
            self._on_change(str(change["verb"]))

    async def _read(self, reader: asyncio.StreamReader) -> Order:
        try:
            async with asyncio.timeout(PATIENCE):
                order = msgspec.json.decode(await reader.readline(), type=Order)
        except TimeoutError as error:
            raise Refused(f"No order came within {PATIENCE:.0f} s.") from error
        except (ValueError, RecursionError) as error:  # too long, no JSON, or no order
            raise Refused(f"That is no order: {error}") from error
        if self._clients > MOST_CLIENTS:  # only now: a socket that is closed unread takes its answer with it
            raise Refused("Too many ask at once.")
        return order

    async def _show(self, call_id: str, writer: asyncio.StreamWriter) -> None:
        here = self._orders.roster.calls
        if call_id not in here:
            raise Refused(f"There is no call {call_id!r} here. There are: {', '.join(list(here)[-5:]) or 'none'}.")
        watch, onlooker = self._watch, Onlooker(call_id)
        watch.show_to([*watch.parts, onlooker])
        try:
            async with aclosing(onlooker.lines()) as lines:
                async for line in lines:
                    await _write(writer, line, patience=None)  # who reads slowly loses lines, and is told so
        finally:
            watch.show_to([part for part in watch.parts if part is not onlooker])


async def _write(writer: asyncio.StreamWriter, line: Line, *, patience: float | None = PATIENCE) -> None:
    writer.write(msgspec.json.encode(line) + b"\n")
    async with asyncio.timeout(patience):
        await writer.drain()


def _who(writer: asyncio.StreamWriter) -> str:
    """The peer's process, as the kernel knows it."""
    if not hasattr(socket, "SO_PEERCRED"):
        return "unknown"
    peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", peer)
    return f"pid {pid}, uid {uid}"


@contextmanager
def _listener(path: Path) -> Iterator[socket.socket | None]:
    """None, with a line in the log, where there can be none."""
    try:
        _remove_stale(path)
        listener = _bound(path)
    except OSError as error:
        remedy = "set CUEBOX_CONTROL_SOCKET to a free path that can be written, or to off"
        log = structlog.get_logger()
        log.warning("control.off", path=str(path), error=error.strerror or str(error), remedy=remedy)
        yield None
        return
    with listener:
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    """What a process left that was killed."""
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)):
                path.unlink()


def _bound(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
        listener.listen()
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener

"""Many streams at once on one server; every one of them is checked. Prints one JSON object.

    python bench/load.py PORT MODEL --at-once 8 --streams 96 [--pid PID] [--history-kb 16] [--store yes] [--path P]

Bounded: a number of streams, a time for each, and what is received is checked after the clock has stopped. A stream is
whole when each delta is there once and in order, a closing event came, and `sequence_number` grew by one each time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

import uvloop
from workload import DELTA, Load, load_of, request_body

SAMPLE_S = 0.2


class Client(asyncio.Protocol):
    """One connection: notes what came, and when."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin."""
        self.transport = transport
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def ask(self, request: bytes) -> asyncio.Future[None]:
        """Send a request; done when the last HTTP chunk came."""
        self.reads: list[tuple[int, bytes]] = []
        self.tail = b""
        self.ended = asyncio.get_running_loop().create_future()
        self.asked_ns = time.monotonic_ns()
        self.transport.write(request)
        return self.ended

    def data_received(self, data: bytes) -> None:
        """One read."""
        self.reads.append((time.monotonic_ns(), data))
        self.tail = (self.tail + data)[-7:]
        if self.tail == b"\r\n0\r\n\r\n" and not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """A server that closes early fails its stream."""
        if not self.ended.done():
            self.ended.set_exception(ConnectionError("closed early"))


class Result:
    """What one stream was."""

    def __init__(self, client: Client, load: Load) -> None:
        self.asked_ns, self.reads, self.load = client.asked_ns, client.reads, load
        self.first_ms = 0.0
        self.ages_ms: list[float] = []
        self.events = 0

    def check(self) -> str:
        """Empty when the stream was whole, else why it was not; fills in the times."""
        raw = b"".join(data for _, data in self.reads)
        head, _, body = raw.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            return f"status {head[:60]!r} {body[:200]!r}"
        arrivals = _arrivals(self.reads, len(head) + 4)
        plain, places = _dechunked(body)
        expected = sequence = 0
        whole = False
        at = 0
        for frame in plain.split(b"\n\n"):
            place = places(at)
            at += len(frame) + 2
            data = frame[frame.find(b"data: ") + 6 :]
            if not frame or data == b"[DONE]":
                continue
            event = json.loads(data)
            kind = event.get("type", "")
            if event.get("sequence_number", sequence) != sequence:
                return f"sequence_number {event['sequence_number']} where {sequence} was due"
            sequence += 1
            if kind.endswith(".delta"):
                self.events += 1
                for found in DELTA.finditer(event["delta"].encode()):
                    if int(found[1]) != expected:
                        return f"delta {int(found[1])} where {expected} was due"
                    came_ns = arrivals(place)
                    if expected == 0:
                        self.first_ms = (came_ns - self.asked_ns) / 1e6
                    if self.load.per_s:
                        self.ages_ms.append((came_ns - int(found[2], 16)) / 1e6)
                    expected += 1
            whole = whole or kind == "response.completed"
        if expected != self.load.deltas or not whole:
            return f"{expected} of {self.load.deltas} deltas, closing event: {whole}"
        return ""


def _arrivals(reads: list[tuple[int, bytes]], head: int):  # type: ignore[no-untyped-def]
    """When the byte at a place of the (chunked) body came."""
    ends, total = [], -head
    for came_ns, data in reads:
        total += len(data)
        ends.append((total, came_ns))
    last = 0

    def came(place: int) -> int:
        nonlocal last
        while last < len(ends) - 1 and ends[last][0] <= place:
            last += 1
        return ends[last][1]

    return came


def _dechunked(body: bytes):  # type: ignore[no-untyped-def]
    """The body without its chunk sizes, and a function from a place in it to a place in the chunked one."""
    parts, marks, at, total = [], [], 0, 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end], 16)
        if not size:
            break
        marks.append((total, end + 2))
        parts.append(body[end + 2 : end + 2 + size])
        total += size
        at = end + 4 + size
    last = 0

    def place(plain: int) -> int:
        nonlocal last
        while last < len(marks) - 1 and marks[last + 1][0] <= plain:
            last += 1
        return marks[last][1] + plain - marks[last][0]

    return b"".join(parts), place


def processes(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and its children, by the kernel's own clock (Linux)."""
    return sum(time.clock_gettime((~one << 3) | 2) for one in processes(pid))


def rss_kb(pid: int) -> int:
    """Resident memory of a process and its children."""
    return sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in processes(pid)) * 4


async def run(options: argparse.Namespace) -> dict[str, object]:
    """Run the load; see the module's head."""
    load = load_of(options.model)
    body = request_body(options.model, options.history_kb, store=options.store == "yes")
    lines = [f"POST {options.path} HTTP/1.1", f"Host: 127.0.0.1:{options.port}", "Content-Type: application/json"]
    lines += ["Authorization: Bearer bench-key", f"Content-Length: {len(body)}", "\r\n"]
    request = "\r\n".join(lines).encode() + body
    loop = asyncio.get_running_loop()
    results: list[Result] = []
    errors: list[str] = []
    todo = iter(range(options.streams))
    rest_kb = peak_kb = rss_kb(options.pid) if options.pid else 0

    async def worker(delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        client = None
        for _ in todo:
            try:
                if client is None or client.transport.is_closing():
                    _, client = await loop.create_connection(Client, "127.0.0.1", options.port)
                async with asyncio.timeout(options.stream_s):
                    await client.ask(request)
                results.append(Result(client, load))
            except (OSError, TimeoutError) as exc:
                errors.append(f"{type(exc).__name__}: {exc}")
                client = None
        if client is not None:
            client.transport.close()

    async def sample() -> None:
        nonlocal peak_kb
        while True:
            peak_kb = max(peak_kb, rss_kb(options.pid))
            await asyncio.sleep(SAMPLE_S)

    sampler = asyncio.create_task(sample()) if options.pid else None
    spread = 1 / load.per_s if load.per_s else 0
    cpu, begun = cpu_s(options.pid) if options.pid else 0.0, time.perf_counter()
    await asyncio.gather(*(worker(spread * n / options.at_once) for n in range(min(options.at_once, options.streams))))
    wall_s = time.perf_counter() - begun
    cpu = cpu_s(options.pid) - cpu if options.pid else 0.0
    if sampler is not None:
        sampler.cancel()
    errors += [why for result in results if (why := result.check())]
    deltas = max(1, load.deltas * len(results))
    ages = sorted(age for result in results for age in result.ages_ms)
    firsts = sorted(result.first_ms for result in results)
    return {
        "streams": len(results),
        "deltas": load.deltas * len(results),
        "delta_events": sum(result.events for result in results),
        "errors": errors[:3],
        "error_count": len(errors),
        "wall_s": wall_s,
        "cpu_us_per_delta": cpu * 1e6 / deltas,
        "cpu_ms_per_stream": cpu * 1e3 / max(1, len(results)),
        "first_p50_ms": _quantile(firsts, 0.5),
        "age_p50_ms": _quantile(ages, 0.5),
        "age_p99_ms": _quantile(ages, 0.99),
        "rest_mb": rest_kb / 1024,
        "kib_per_stream": (peak_kb - rest_kb) / options.at_once,
    }


def _quantile(values: list[float], part: float) -> float | None:
    return values[min(len(values) - 1, int(len(values) * part))] if values else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("model")
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--history-kb", type=int, default=16)
    parser.add_argument("--store", choices=["yes", "no"], default="no")
    parser.add_argument("--stream-s", type=float, default=120)
    parser.add_argument("--path", default="/v1/responses")
    parser.add_argument("--pid", type=int, default=0)
    print(json.dumps(uvloop.run(run(parser.parse_args()))))

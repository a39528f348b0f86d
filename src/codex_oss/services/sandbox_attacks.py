"""What a hostile command would try, as small programs that say what they got.

Counterpart: `services.sandbox_proofs` runs each of them twice: free, where it must succeed, and enclosed.

Rules: a program gets one argument, a JSON object with the places to attack; it needs the standard library only; what
it reads it writes to stdout; it never harms anything but what the proofs made for it. A refusal is an exit status.
"""

from __future__ import annotations

from typing import Final

_BEGIN: Final = "import json, os, socket, sys, time\nscene = json.loads(sys.argv[1])\n"

READ_HOME: Final = """
print(open(scene["secret"]).read())
"""

WRITE_OUTSIDE: Final = """
link = os.path.join(scene["writable"], "link")
for path in (scene["outside"] + "/direct", link + "/linked", scene["writable"] + "/../" + scene["beside"] + "/dotted"):
    try:
        if not os.path.islink(link):
            os.symlink(scene["outside"], link)
        open(path, "w").write("written")
    except OSError as exc:
        print(path, exc)
"""

CONNECT_TCP: Final = """
peer = socket.create_connection(("127.0.0.1", scene["tcp"]), timeout=2)
peer.sendall(scene["word"].encode())
"""

SEND_UDP: Final = """
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(scene["word"].encode(), ("127.0.0.1", scene["udp"]))
"""

REACH_SOCKETS: Final = """
for place in (scene["socket"], "\\0" + scene["abstract"]):
    try:
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(2)
        peer.connect(place)
        peer.sendall(scene["word"].encode())
    except OSError as exc:
        print(repr(place), exc)
"""

SURVIVE: Final = """
import signal
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid() if os.getpid() != os.getsid(0) else None
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", "import time; time.sleep(30)", scene["mark"]])
    os._exit(0)
os.wait()
time.sleep(0.3)
"""

SIGNAL_OUTSIDE: Final = """
os.kill(scene["victim"], 15)
"""

WRITE_GIT: Final = """
git = scene["root"] + "/.git"
try:
    open(git + "/hooks/pre-commit", "w").write("#!/bin/sh")
except OSError as exc:
    print(exc)
try:
    os.rename(git, scene["root"] + "/moved")
except OSError as exc:
    print(exc)
"""

READ_KEYS: Final = """
print(dict(os.environ))
for name in os.listdir("/proc"):
    for part in ("environ", "cmdline"):
        try:
            print(open(f"/proc/{name}/{part}", "rb").read())
        except OSError:
            pass
"""

PROGRAMS: Final[dict[str, tuple[str, str]]] = {
    "read_secret": (READ_HOME, "reading a secret in the home folder"),
    "read_keys": (READ_KEYS, "reading keys out of the environment of other processes"),
    "write_outside": (WRITE_OUTSIDE, "writing outside, directly, through a link and by `..`"),
    "write_git": (WRITE_GIT, "writing a hook into .git, or moving .git away"),
    "connect_tcp": (CONNECT_TCP, "connecting to a port of this machine by TCP"),
    "send_udp": (SEND_UDP, "sending to a port of this machine by UDP"),
    "reach_sockets": (REACH_SOCKETS, "reaching a service by its Unix socket, named or abstract"),
    "signal_outside": (SIGNAL_OUTSIDE, "ending a process outside"),
    "survive": (SURVIVE, "living on in a session of its own after the end"),
}
"""Name to program and what it tries, in the order in which they are shown."""


def source(name: str) -> str:
    """The whole program of an attack."""
    return _BEGIN + PROGRAMS[name][0]

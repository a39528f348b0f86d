"""The bridge as it is, but for one thing: every chunk of an upstream becomes an event of its own (see decision 0020).

python bench/unjoined.py --project DIR --port N       # only for `bin/bench`, to say what joining is worth
"""

import sys

from codex_oss.server.__main__ import main
from codex_oss.wire import chat_stream

if __name__ == "__main__":
    chat_stream.joined = lambda events: events
    chat_stream.LARGE_READ_BYTES = 1 << 60
    sys.exit(main())

"""How long to wait before the next try."""

from courier.settings import FIRST_PAUSE_S, LONGEST_PAUSE_S


def pause_s(attempt: int) -> float:
    """Seconds to wait after failed try number *attempt* (1 is the first); doubles each time."""
    return min(FIRST_PAUSE_S * 2 ** (attempt - 1), LONGEST_PAUSE_S)

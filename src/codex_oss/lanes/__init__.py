"""One lane a file; every lane has the signature `wire.events.Lane`."""

"""Each module owns one resource of the outside: files, the event log, the upstream, the mission runner."""

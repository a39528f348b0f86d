"""Decisions: values in, a `Verdict` or a choice out. Nothing here performs I/O."""

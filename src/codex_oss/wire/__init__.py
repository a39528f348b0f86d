"""Codecs between bytes and values. Nothing here performs I/O."""

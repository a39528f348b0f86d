"""The loopback HTTP server."""

"""codex-oss: one local Responses address for Codex, OpenCode and open models.

Start reading at `docs/architecture.md`; the rooms are `contracts`, `wire`, `policy`, `missions`, `services`,
`lanes`, `server` and `cli`, and imports point from the last towards the first only.
"""

__version__ = "0.1.0"

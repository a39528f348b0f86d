"""`python -m codex_oss` is `codex-oss`."""

from codex_oss.cli.main import main

main()

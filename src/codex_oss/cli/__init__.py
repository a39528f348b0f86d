"""The command line: one noun a file, every heavy import inside the command that needs it."""

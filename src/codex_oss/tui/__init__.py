"""The screens: the same views as the shell, full size. Textual (extra `tui`) is imported here and nowhere else."""

"""Frozen values that the other rooms agree on, and the checks that make them trustworthy."""

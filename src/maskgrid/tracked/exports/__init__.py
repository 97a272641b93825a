"""Masklets in the forms of other tools, and as pictures and films."""

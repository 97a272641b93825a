"""Advice: which of the sweep's settings to take for a goal, and how sure that is."""

"""Training and measuring the demo model, by the command ``python -m training``."""

"""Train and measure the demo model with ``python -m training``."""

"""Training and measuring the demo model: ``python -m maskgrid.training image | video | export | evaluate``."""

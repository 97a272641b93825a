"""What a run is: the results folder, passes, the plan, notes."""

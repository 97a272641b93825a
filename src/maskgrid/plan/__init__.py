"""What a run will do: the plan, the network's passes, the layout of the results, the origin of outputs."""

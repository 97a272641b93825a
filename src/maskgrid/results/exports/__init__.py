"""What tools that do not read COCO's run-length codes take, and what says to people and machines what a dataset is."""

"""Ground truth: objects that the dataset's annotations know, and how well the masks of each setting find them."""

"""Ground truth: the annotated objects, and how well the masks of each setting find them."""

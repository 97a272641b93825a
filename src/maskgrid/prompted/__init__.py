"""Job 2, prompted segmentation: masks from points, boxes and masks."""

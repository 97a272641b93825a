"""maskgrid: SAM 2's automatic masks for image datasets, and what every threshold does to them."""

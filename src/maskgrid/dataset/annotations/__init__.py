"""What users know of their images: prompts, true objects, regions, by the images' names."""

"""What users bring: images, archives, lists, prompts, ground truth; the index and its shards."""

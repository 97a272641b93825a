"""The user's input: images, archives, lists, prompts; the index and its shards."""

"""A pass of the network over the images of a shard: prompts in, candidates out."""

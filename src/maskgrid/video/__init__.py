"""Objects tracked through videos with SAM 2: frames, prompts, masklets."""

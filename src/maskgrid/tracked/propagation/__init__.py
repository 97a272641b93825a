"""The engine: follow objects through a video with sam2's predictor, from prompts or from automatic masks."""

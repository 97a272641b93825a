"""Job 1, automatic masks: candidates once, every setting replayed."""

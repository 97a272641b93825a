"""Job 3, tracking: objects followed through videos."""

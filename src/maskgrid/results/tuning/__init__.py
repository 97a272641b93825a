"""The best setting off the grid: thousands of settings replayed in memory, judged on images that were not searched."""

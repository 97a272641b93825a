"""The report and the explorer: pages to look at."""

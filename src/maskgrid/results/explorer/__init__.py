"""The explorer: a page that replays the thresholds over every image, and the data beside it."""

"""The player: a page that plays tracked videos with their masks, and the data beside it."""

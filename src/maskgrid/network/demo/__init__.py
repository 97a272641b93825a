"""The demo model: its config, its weights and their hash, as package data."""

"""Masks in other formats, and the dataset's card and metadata."""

"""Prompts of videos: read from tables and documents, checked against their videos, and numbered."""

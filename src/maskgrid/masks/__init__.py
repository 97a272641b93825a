"""Masks as data: run-length codes, coverage, COCO, pictures."""

"""How many masks each setting gives: counts, areas, coverage, with intervals and effects."""

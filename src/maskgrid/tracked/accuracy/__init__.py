"""Masklets against true objects: J, F and J&F by DAVIS, HOTA and IDF1 by TrackEval."""

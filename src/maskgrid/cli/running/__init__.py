"""``maskgrid run``: Snakemake as a child process, and what its jobs tell as lines and bars."""

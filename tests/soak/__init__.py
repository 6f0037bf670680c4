"""Random fleets: drawn from a seed, patched by Midwatch, and checked by looking at the clusters. `make soak`."""

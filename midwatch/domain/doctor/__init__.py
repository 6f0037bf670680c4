"""The rules of `midwatch doctor`: what a run needs of a cluster, and what to do where it is not so. Pure."""

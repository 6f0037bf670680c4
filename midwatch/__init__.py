"""Midwatch: the night watch of a fleet of AKS clusters."""

__version__ = "0.1.0"

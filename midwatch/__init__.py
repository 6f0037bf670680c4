"""Midwatch: the night watch of a fleet of AKS clusters."""

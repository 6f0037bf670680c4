"""The controllers of a cluster, as far as reboots and evictions concern them."""

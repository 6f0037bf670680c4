"""The other side of Azure, on loopback."""

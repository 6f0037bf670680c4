"""The kubelets of a cluster's stand-in machines: they register nodes, keep their conditions, run and end their pods."""

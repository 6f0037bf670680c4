"""What the suites share: a control plane, stand-in machines, workloads, a sampler. It knows nothing of Midwatch."""

"""One run on a host that serves the function app: the embedded one, or the real Functions host."""

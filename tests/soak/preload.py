"""What a host's process imports; the fork server does so once, before any thread, and hosts are forked from it."""

from __future__ import annotations

import importlib
import os

os.environ.setdefault("PYTHON_THREADPOOL_THREAD_COUNT", "64")
os.environ.setdefault("FUNCTIONS_WORKER_RUNTIME", "python")
for name in (
    "azure_functions_runtime",
    "azure.durable_functions",
    "kubernetes.aio",
    "midwatch.local",
    "midwatch.web.api",
    "orchestrators",
    "activities.directory",
):
    importlib.import_module(name)

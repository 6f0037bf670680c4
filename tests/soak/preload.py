"""What a host's process imports; the fork server does so once, before any thread, and hosts are forked from it."""

import os

os.environ.setdefault("PYTHON_THREADPOOL_THREAD_COUNT", "64")
os.environ.setdefault("FUNCTIONS_WORKER_RUNTIME", "python")

import azure.durable_functions
import azure.functions
import azure_functions_runtime  # type: ignore[import-untyped]  # noqa: F401
import fastapi  # noqa: F401
import kubernetes.aio  # type: ignore[import-untyped]  # noqa: F401

import activities
import activities.directory
import midwatch.local
import midwatch.web.api
import orchestrators

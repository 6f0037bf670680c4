"""The policy reference is made from the code, and every key in it is described."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_policy_reference_is_what_the_code_says() -> None:
    made = subprocess.run(
        [sys.executable, "tools/policy_reference.py"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert made == (ROOT / "docs" / "policy.md").read_text(), "run `make reference`"

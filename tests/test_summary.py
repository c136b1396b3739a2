"""What a run of the tests says at its end."""

import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def test_skipped_browser_checks_are_counted_at_the_end(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "CI"} | {"PATH": str(tmp_path)}  # no Chromium there
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "book/test_explore.py", "-k", "pages"]
    done = subprocess.run(command, cwd=TESTS, env=environment, capture_output=True, text=True)
    *_, before, last = done.stdout.strip().splitlines()
    number = int(re.search(r"(\d+) skipped", last)[1])
    assert number > 1
    assert before == f"{number} browser checks were skipped for want of Chromium: apt-get install chromium"

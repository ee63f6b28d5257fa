"""All commands of the bundles' tests (inference, evaluation, training) run without a network; here is that they do."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.helpers.bundle import NO_NETWORK, environment


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)


@pytest.mark.parametrize(
    "attempt",
    [
        "import urllib.request; urllib.request.urlopen('http://monai.io')",
        "import requests; requests.get('https://monai.io')",
        "import socket; socket.create_connection(('192.0.2.1', 80))",
        "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 53))",
    ],
)
def test_attempts_are_refused_and_printed_also_where_they_are_caught(attempt):
    refused = run(attempt)
    assert refused.returncode == 1 and NO_NETWORK in refused.stderr
    caught = run(f"try:\n    {attempt.replace('; ', chr(10) + '    ')}\nexcept Exception:\n    pass")
    assert caught.returncode == 0 and NO_NETWORK in caught.stderr


def test_the_machine_itself_may_be_asked():
    server = "import socket; s = socket.create_server(('localhost', 0)); socket.create_connection(s.getsockname()[:2])"
    done = run(server)
    assert done.returncode == 0 and NO_NETWORK not in done.stderr, done.stderr

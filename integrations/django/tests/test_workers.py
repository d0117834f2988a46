"""Real workers on Redis and RabbitMQ: a child that is killed in the middle of a page, and a whole worker.

On Redis, the page of a whole worker comes back only after the visibility timeout: `kills.py` runs that by command.
"""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path
from types import ModuleType

import pytest

PORTS = {"redis": 6379, "rabbitmq": 5672}


def kills() -> ModuleType:
    """Return the script beside this file, which no package holds."""
    spec = importlib.util.spec_from_file_location("recsys_kills", Path(__file__).with_name("kills.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize(("broker", "victim"), [("redis", "child"), ("rabbitmq", "worker")])
def test_a_kill_in_the_middle_loses_and_doubles_nothing(broker: str, victim: str, tmp_path: Path) -> None:
    try:
        socket.create_connection(("127.0.0.1", PORTS[broker]), timeout=3).close()
    except OSError as error:
        pytest.skip(f"no broker at 127.0.0.1:{PORTS[broker]}: {error}")
    script = kills()

    outcome = script.run(script.BROKERS[broker], victim, tmp_path)

    assert outcome.is_whole, outcome.state

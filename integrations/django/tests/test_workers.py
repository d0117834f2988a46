"""Real workers on Redis and RabbitMQ: a child that is killed in the middle of a page, a whole worker, and two Beats.

On Redis, the page of a whole worker comes back only after the visibility timeout: `kills.py` runs that by command.
"""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers.django_site import BROKERS, database

PORTS = {"redis": 6379, "rabbitmq": 5672}


def script(name: str) -> ModuleType:
    """Return a script beside this file, which no package holds."""
    spec = importlib.util.spec_from_file_location(f"recsys_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def broker_url(broker: str) -> str:
    try:
        socket.create_connection(("127.0.0.1", PORTS[broker]), timeout=3).close()
    except OSError as error:
        pytest.skip(f"no broker at 127.0.0.1:{PORTS[broker]}: {error}")
    return BROKERS[broker]


@pytest.mark.slow
@pytest.mark.parametrize(("broker", "victim"), [("redis", "child"), ("rabbitmq", "worker")])
def test_a_kill_in_the_middle_loses_and_doubles_nothing(broker: str, victim: str, tmp_path: Path) -> None:
    outcome = script("kills").run(broker_url(broker), victim, tmp_path)

    assert outcome.is_whole, outcome.state


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broker", "server"), [("rabbitmq", "sqlite"), ("rabbitmq", "postgresql"), ("redis", "mariadb")]
)
def test_two_beats_lose_and_double_nothing(broker: str, server: str, tmp_path: Path) -> None:
    with database(server) as url:
        outcome = script("beats").run(broker_url(broker), tmp_path, n_due=2, database_url=url)

    assert outcome.is_whole, outcome

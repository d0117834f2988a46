"""A worker's version: exchanged for a newly activated one, kept where the new one is no good."""

import fcntl
import gc
import json
import os
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recsys.artifacts import activate
from recsys.bridge import hot_swap
from recsys.bridge.hot_swap import AGAIN_AFTER_S, ENCODERS_AFTER_S, REPLAYED, Versions
from recsys.bridge.serving import Service
from recsys.contract import Request, parse_request
from recsys.contract.worker_messages import Refusal
from recsys.errors import ModelRefused
from recsys.scorers.registry import REGISTRY
from tests.helpers.second_version import point_at, rewrite, second_version, write_encoders
from tests.helpers.tiny_shop import Published


@pytest.fixture
def shop(published: Published, tmp_path: Path) -> Published:
    return published.copy(tmp_path / "shop")


@pytest.fixture
def service(shop: Published) -> Service:
    return Service(shop.settings, shop.load())


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the versions that are opened from now on, in order."""
    from recsys.recommending import loading

    names: list[str] = []
    real = loading.load

    def load(models_dir: Path, *, full: bool) -> loading.ModelBundle:
        names.append((models_dir / "CURRENT").read_text(encoding="ascii").strip())
        assert full
        return real(models_dir, full=full)

    monkeypatch.setattr(loading, "load", load)
    return names


def is_held(shop: Published, name: str) -> bool:
    """Return whether somebody holds a version, so that clean-up would leave it alone."""
    with open(shop.models_dir / name / "manifest.json", "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_the_version_that_serves_is_not_opened_again(service: Service, opened: list[str]) -> None:
    assert Versions(service).look() is None
    assert opened == []


def test_a_newly_activated_version_takes_over(shop: Published, service: Service) -> None:
    versions, new = Versions(service), second_version(shop)
    assert versions.look() is None
    assert service.bundle.name == shop.version

    activate(shop.models_dir, new)
    assert versions.look() is None

    assert (service.bundle.name, versions.swaps, versions.refused) == (new, 1, None)


def test_f52_a_rollback_is_served_too(shop: Published, service: Service) -> None:
    versions = Versions(service)
    for name in (second_version(shop), shop.version):
        activate(shop.models_dir, name)
        versions.look()
        assert service.bundle.name == name
    assert versions.swaps == 2


def test_the_old_version_is_released_with_its_last_request(shop: Published, service: Service) -> None:
    new = second_version(shop)
    activate(shop.models_dir, new)
    in_hand = service.bundle
    gone = weakref.ref(in_hand)

    Versions(service).look()
    gc.collect()
    assert is_held(shop, shop.version)
    assert shop.ask(in_hand, user_id=7).model_version == shop.version

    del in_hand
    assert gone() is None
    assert not is_held(shop, shop.version)
    assert is_held(shop, new)


def test_a_swapped_version_reads_nothing_more_from_its_folder(shop: Published, service: Service) -> None:
    activate(shop.models_dir, second_version(shop))
    Versions(service).look()
    before = shop.ask(service.bundle, user_id=7, exclude=[101])
    shutil.rmtree(shop.models_dir)

    assert shop.ask(service.bundle, user_id=7, exclude=[101]).items == before.items


def damaged(shop: Published) -> str:
    name = second_version(shop)
    activate(shop.models_dir, name)
    (shop.models_dir / name / "bmf_model.weights.h5").write_bytes(b"")
    return name


def changed_under_its_stamp(shop: Published) -> str:
    """One bit, with the file's size and time as they were: only a hash can tell."""
    name = second_version(shop)
    activate(shop.models_dir, name)
    path = shop.models_dir / name / "heldout.h5"
    status, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return name


def not_in_the_database(shop: Published) -> str:
    name = second_version(shop, in_database=False)
    activate(shop.models_dir, name)
    return name


def scoring_nan(shop: Published) -> str:
    name = second_version(
        shop,
        lambda draft, first: rewrite(
            draft, first, "popularity.h5", popularity=lambda popularity: np.full_like(popularity, np.nan)
        ),
    )
    activate(shop.models_dir, name)
    return name


def scoring_too_few(shop: Published) -> str:
    name = second_version(
        shop,
        lambda draft, first: rewrite(
            draft, first, "popularity_recent.h5", popularity=lambda popularity: popularity[1:]
        ),
    )
    activate(shop.models_dir, name)
    return name


def without_a_file(shop: Published) -> str:
    name = second_version(shop, lambda draft, first: draft.path("user_frequency.h5").unlink())
    activate(shop.models_dir, name)
    return name


def ids_out_of_order(shop: Published) -> str:
    name = second_version(
        shop, lambda draft, first: rewrite(draft, first, "encoders.h5", items=lambda items: items[::-1])
    )
    activate(shop.models_dir, name)
    return name


def ids_too_few(shop: Published) -> str:
    name = second_version(
        shop, lambda draft, first: rewrite(draft, first, "encoders.h5", items=lambda items: items[1:])
    )
    activate(shop.models_dir, name)
    return name


def missing(shop: Published) -> str:
    name = "20260101T000000Z-0123abcd"
    point_at(shop, name)
    return name


BAD: dict[str, tuple[Callable[[Published], str], str]] = {
    "damaged": (damaged, "model_refused"),
    "changed under its stamp": (changed_under_its_stamp, "model_refused"),
    "not in the database": (not_in_the_database, "model_mismatch"),
    "scoring NaN": (scoring_nan, "model_refused"),
    "scoring too few items": (scoring_too_few, "model_refused"),
    "without a file": (without_a_file, "model_refused"),
    "ids out of order": (ids_out_of_order, "model_refused"),
    "ids of too few items": (ids_too_few, "model_refused"),
    "missing": (missing, "no_model"),
}


@pytest.mark.parametrize(("publish", "code"), BAD.values(), ids=BAD)
def test_f50_f51_a_faulty_version_leaves_the_old_one_in_place(
    shop: Published,
    service: Service,
    opened: list[str],
    capsys: pytest.CaptureFixture[str],
    publish: Callable[[Published], str],
    code: str,
) -> None:
    versions, name = Versions(service), publish(shop)

    error = versions.look()
    for _ in range(3):
        assert versions.look() is None  # it is not tried again by itself

    assert error is not None
    assert versions.refused == Refusal(name, code, str(error))
    assert (error.code, service.bundle.name, versions.swaps) == (code, shop.version, 0)
    assert opened == [name]
    assert shop.ask(service.bundle, user_id=7).model_version == shop.version
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1
    assert stderr.startswith(f"{shop.version} goes on serving, because {name} cannot: ")


def test_a_refused_version_is_tried_again_on_reload(shop: Published, service: Service) -> None:
    versions, name = Versions(service), not_in_the_database(shop)
    assert versions.look() is not None
    assert versions.look(again=True) is not None
    write_encoders(shop, service.bundle.version, name)
    assert versions.look() is None
    assert service.bundle.name == shop.version

    assert versions.look(again=True) is None

    assert (service.bundle.name, versions.refused) == (name, None)


def test_a_refusal_is_forgotten_once_current_names_another_version(shop: Published, service: Service) -> None:
    versions = Versions(service)
    damaged(shop)
    versions.look()
    assert versions.refused is not None

    activate(shop.models_dir, shop.version)
    versions.look()

    assert (versions.refused, versions.swaps, service.bundle.name) == (None, 0, shop.version)


@pytest.mark.parametrize(("text", "code"), [("../models", "model_refused"), ("", "model_refused"), (None, "no_model")])
def test_f53_an_unreadable_current_is_reported_once_and_changes_nothing(
    shop: Published, service: Service, capsys: pytest.CaptureFixture[str], text: str | None, code: str
) -> None:
    versions = Versions(service)
    if text is None:
        (shop.models_dir / "CURRENT").unlink()
    else:
        point_at(shop, text)

    errors = [versions.look() for _ in range(3)]

    assert all(error is not None and error.code == code for error in errors)
    assert versions.refused is not None
    assert (versions.refused.version, versions.refused.code, service.bundle.name) == (None, code, shop.version)
    assert capsys.readouterr().err.count("CURRENT cannot: ") == 1


def test_a_temporary_fault_is_tried_again_after_a_pause(
    shop: Published, service: Service, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(hot_swap, "time", SimpleNamespace(monotonic=lambda: clock.now))
    database, aside = shop.folder / "shop.sqlite", shop.folder / "aside.sqlite"
    versions, name = Versions(service), second_version(shop)
    activate(shop.models_dir, name)
    database.rename(aside)

    error = versions.look()
    clock.now += AGAIN_AFTER_S - 0.1
    assert versions.look() is None

    assert error is not None and error.code == "database_unavailable"
    assert opened == [name]
    aside.rename(database)
    clock.now += 0.2
    assert versions.look() is None
    assert (service.bundle.name, opened) == (name, [name, name])


def test_encoders_that_come_late_are_found_after_a_minute(
    shop: Published, service: Service, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(hot_swap, "time", SimpleNamespace(monotonic=lambda: clock.now))
    versions, name = Versions(service), not_in_the_database(shop)

    error = versions.look()
    assert error is not None and error.code == "model_mismatch"
    write_encoders(shop, service.bundle.version, name)
    clock.now += ENCODERS_AFTER_S - 0.1
    assert versions.look() is None
    assert (service.bundle.name, opened) == (shop.version, [name])
    clock.now += 0.2
    assert versions.look() is None

    assert (service.bundle.name, versions.refused, opened) == (name, None, [name, name])


def test_any_error_while_opening_a_version_leaves_the_old_one_in_place(
    shop: Published, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsys.recommending import loading

    activate(shop.models_dir, second_version(shop))
    for broken, code in (
        (MemoryError(), "overloaded"),
        (KeyError("secret"), "internal"),
        (OSError(5, "I/O"), "internal"),
    ):
        monkeypatch.setattr(loading, "load", lambda models_dir, full, error=broken: (_ for _ in ()).throw(error))
        error = Versions(service).look()
        assert error is not None and error.code == code
    assert service.bundle.name == shop.version


def test_a_version_activated_while_another_is_opened_serves_in_the_end(
    shop: Published, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsys.recommending import loading

    second = second_version(shop)
    third = second_version(shop, lambda draft, first: rewrite(draft, first, "popularity.h5", popularity=np.ones_like))
    real = loading.smoke_test

    def smoke_test(*arguments: object) -> None:
        monkeypatch.setattr(loading, "smoke_test", real)
        activate(shop.models_dir, third)
        real(*arguments)

    monkeypatch.setattr(loading, "smoke_test", smoke_test)
    activate(shop.models_dir, second)
    versions, served = Versions(service), []
    for _ in range(3):
        assert versions.look() is None
        served.append(service.bundle.name)

    assert served == [second, third, third]


def test_the_first_version_checks_its_arrays_too(shop: Published) -> None:
    ids_out_of_order(shop)

    with pytest.raises(ModelRefused, match="ascending order"):
        shop.load().warm()


def asked(**fields: object) -> Request:
    return parse_request(json.dumps(fields).encode(), models=tuple(REGISTRY))


def test_a_new_version_answers_the_newest_requests_before_it_serves(
    shop: Published, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions, new = Versions(service), second_version(shop)
    answers: list[tuple[object, str, str]] = []
    real = Service.answer

    def answer(self: Service, request: Request, bundle: Any, database: Any, deadline: float | None) -> Any:
        response = real(self, request, bundle, database, deadline)
        answers.append((response.user_id, response.model_version, self.bundle.name))
        return response

    monkeypatch.setattr(Service, "answer", answer)
    for user in range(REPLAYED + 2):
        versions.answered(asked(user_id=user, budget_ms=1))
    activate(shop.models_dir, new)

    assert versions.look() is None
    assert answers == [(user, new, shop.version) for user in range(2, REPLAYED + 2)]


@pytest.mark.parametrize(
    ("broken", "code"), [(ModelRefused("damaged"), "model_refused"), (KeyError("a defect"), "internal")]
)
def test_a_version_that_cannot_answer_a_recent_request_is_not_taken_up(
    shop: Published, service: Service, monkeypatch: pytest.MonkeyPatch, broken: Exception, code: str
) -> None:
    versions, new = Versions(service), second_version(shop)
    versions.answered(asked(user_id=7))
    activate(shop.models_dir, new)
    monkeypatch.setattr(Service, "answer", lambda *_, **__: (_ for _ in ()).throw(broken))

    error = versions.look()

    assert error is not None and versions.refused == Refusal(new, code, str(error))
    assert (service.bundle.name, versions.swaps) == (shop.version, 0)


def test_a_user_whom_the_new_version_does_not_know_does_not_keep_it_from_serving(
    shop: Published, service: Service
) -> None:
    versions, new = Versions(service), second_version(shop)
    versions.answered(asked(user_id=10**6, strict=True))
    activate(shop.models_dir, new)

    assert versions.look() is None
    assert service.bundle.name == new

"""Alerts: one JSON document to a webhook where a training was refused or failed, which never stops anything."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException, HTTPMessage
from typing import IO, Any

from recsys.errors.secrets import Secret

TIMEOUT_S = 10.0  # seconds for the whole alert; trainings do not wait for a webhook that hangs
LONGEST_TEXT = 2_000  # characters of the sentence


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: urllib would follow one with a GET, without the document."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def send_alert(webhook: Secret, event: str, text: str, details: Mapping[str, Any]) -> str | None:
    """Post an alert.

    Args:
        webhook: The URL; empty for none.
        event: `refused` or `failed`.
        text: One sentence for people; most chat programs show the field of this name.
        details: Further fields.

    Returns:
        Why the alert did not arrive, without any part of the URL; None where it did, or where there is no webhook.
    """
    if not webhook:
        return None
    document = json.dumps({**details, "event": event, "text": text[:LONGEST_TEXT]}).encode()
    try:
        request = urllib.request.Request(  # noqa: S310 - the settings admit http and https only
            webhook.reveal(), document, {"Content-Type": "application/json", "User-Agent": "recsys"}, method="POST"
        )
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_S):
            return None
    except urllib.error.HTTPError as error:
        error.close()
        return f"it answered with status {error.code}"
    except (OSError, HTTPException, ValueError) as error:  # URLError is an OSError
        reason = getattr(error, "reason", error)
        return f"{type(reason).__name__}" if not isinstance(reason, str) else type(error).__name__

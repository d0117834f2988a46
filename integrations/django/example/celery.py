"""The Celery app of the example site; `celery -A example worker` finds it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from celery import Celery

ROOT = Path(__file__).resolve().parent.parent.parent.parent
if str(ROOT) not in sys.path:  # `celery` starts in the site's folder and does not know the project above it
    sys.path.append(str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example.settings")

app = Celery("example")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

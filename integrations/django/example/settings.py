"""Settings of the example site: SQLite, one broker, schedules in the database.

EXAMPLE_DIR holds the database, the models and the exports; EXAMPLE_DATABASE_URL names another database. BROKER_URL is
that of Redis or RabbitMQ.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from urllib.parse import unquote, urlsplit

FOLDER = Path(__file__).resolve().parent
DATA = Path(os.environ.get("EXAMPLE_DIR", FOLDER.parents[2] / "data" / "example-site"))
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or secrets.token_urlsafe(50)  # sessions then end with the process
DEBUG = os.environ.get("DJANGO_DEBUG") == "1"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_celery_results",
    "recsys_suggestions",
    "example.films",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "example.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def database(url: str) -> dict[str, object]:
    """Return Django's settings of a database by its URL, as DATABASE_URL is written."""
    parts = urlsplit(url)
    scheme = parts.scheme.partition("+")[0]
    if scheme == "mysql":
        import pymysql

        pymysql.install_as_MySQLdb()
    engine = {"postgresql": "postgresql", "mysql": "mysql"}[scheme]
    names = {"USER": unquote(parts.username or ""), "PASSWORD": unquote(parts.password or "")}
    place = {"HOST": parts.hostname or "127.0.0.1", "PORT": str(parts.port or ""), "NAME": parts.path.lstrip("/")}
    return {"ENGINE": f"django.db.backends.{engine}", **names, **place}


# Writers of SQLite wait for each other, and say at once that they will write.
SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": DATA / "site.sqlite",
    "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
}
URL = os.environ.get("EXAMPLE_DATABASE_URL")
DATABASES = {"default": database(URL) if URL else SQLITE}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"

RECSYS_SUGGESTIONS = {"MODEL": "films.Film", "MODELS_DIR": DATA / "models", "EXPORTS_DIR": DATA / "exports"}

CELERY_BROKER_URL = os.environ.get("BROKER_URL", "redis://127.0.0.1:6379/0")
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True  # without it, results have no names of tasks
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_TIMEZONE = TIME_ZONE  # schedules do not follow TIME_ZONE by themselves
CELERY_TASK_DEFAULT_QUEUE = os.environ.get("BROKER_QUEUE", "recsys")
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": None, "interval_max": 10}  # Beat waits for a broker that is away
if CELERY_BROKER_URL.startswith("redis"):
    # A task of a killed worker comes back after this many seconds, and up to ten more; no task may take longer.
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "visibility_timeout": int(os.environ.get("BROKER_VISIBILITY_S", "3600")),
        "unacked_restore_throttle": 1,
        "socket_connect_timeout": 2,
    }

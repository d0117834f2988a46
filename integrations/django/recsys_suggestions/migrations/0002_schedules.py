"""The schedules: rows that an operator may change in the admin, and that no restart of Beat sets back.

Names of settings would be set back with each start of Beat, and would run on after they had left the settings.
"""

from django.conf import settings
from django.db import migrations
from django.utils import timezone

DAILY = {
    "recsys: train": (2, "recsys_suggestions.train_surprise_model_task", "[20]", "{}"),
    "recsys: predict": (3, "recsys_suggestions.batch_users_prediction_task", "[]", '{"run": "daily"}'),
}
WAITING = "recsys: send what waits"


def add(apps, schema_editor):
    """Add the schedules in the zone of Celery, or else of the site."""
    models = {name: apps.get_model("django_celery_beat", name) for name in SCHEDULE_MODELS}
    zone = getattr(settings, "CELERY_TIMEZONE", None) or settings.TIME_ZONE
    now = timezone.now()  # a row without a last run would not count as missed if its first run is missed
    for name, (hour, task, args, kwargs) in DAILY.items():
        at = {"minute": "0", "hour": str(hour), "day_of_week": "*", "day_of_month": "*", "month_of_year": "*"}
        crontab = models["CrontabSchedule"].objects.filter(**at, timezone=zone).first()
        crontab = crontab or models["CrontabSchedule"].objects.create(**at, timezone=zone)
        fields = {"task": task, "args": args, "kwargs": kwargs, "crontab": crontab, "last_run_at": now}
        models["PeriodicTask"].objects.get_or_create(name=name, defaults=fields)
    minute = models["IntervalSchedule"].objects.filter(every=1, period="minutes").first()
    minute = minute or models["IntervalSchedule"].objects.create(every=1, period="minutes")
    fields = {"task": "recsys_suggestions.send_waiting_task", "interval": minute, "last_run_at": now}
    # With a broker that was away for an hour, one such message is enough.
    models["PeriodicTask"].objects.get_or_create(name=WAITING, defaults={**fields, "expire_seconds": 60})
    tell_beat(models)


def remove(apps, schema_editor):
    """Remove the schedules."""
    models = {name: apps.get_model("django_celery_beat", name) for name in SCHEDULE_MODELS}
    models["PeriodicTask"].objects.filter(name__in=[*DAILY, WAITING]).delete()
    tell_beat(models)


def tell_beat(models):
    """Tell a running Beat that rows have changed, which models of a migration do not do by themselves."""
    models["PeriodicTasks"].objects.update_or_create(ident=1, defaults={"last_update": timezone.now()})


SCHEDULE_MODELS = ("CrontabSchedule", "IntervalSchedule", "PeriodicTask", "PeriodicTasks")


class Migration(migrations.Migration):
    """Training at 02:00, prediction at 03:00, and once a minute what waited for the broker."""

    dependencies = [
        ("recsys_suggestions", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]
    operations = [migrations.RunPython(add, remove)]

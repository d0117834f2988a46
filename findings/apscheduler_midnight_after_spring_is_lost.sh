#!/usr/bin/env bash
# APScheduler 3.11.3: a nightly trigger at 00:00 leaves out the whole day after the night in which the clocks go forward.
#
# Expected: in Berlin one fire a day, 27, 28, 29 and 30 March 2027; the night of the 28th has no hour from 2 to 3, but each day has its midnight.
# Seen:     Europe/Berlin 27 28 30     America/New_York 13 14 16     Asia/Ho_Chi_Minh, without such a night, 27 28 29 30
# Source:   the cron trigger of the user guide: it fires "when current time matches all specified time constraints".
# Why:      the nightly training, or the nightly lists, of a shop in most of Europe and North America is missed once a year, in silence: no
#           missed-run event comes, because the fire was never planned.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check apscheduler==3.11.3 tzlocal==5.4.5
"$folder/bin/python" - <<'PY'
import sys
from datetime import datetime
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger


def days(zone, first):
    """Return the days of the month of four fires in a row, each asked for as the scheduler does after the one before."""
    trigger, fired, now = CronTrigger(hour=0, timezone=zone), None, datetime(2027, 3, first, tzinfo=ZoneInfo(zone))
    found = []
    for _ in range(4):
        fired = now = trigger.get_next_fire_time(fired, now)
        found.append(fired.day)
    print(zone, *found)
    return found


lost = days("Europe/Berlin", 27)[:3] == [27, 28, 30] and days("America/New_York", 13)[:3] == [13, 14, 16]
sys.exit(not (lost and days("Asia/Ho_Chi_Minh", 27) == [27, 28, 29, 30]))
PY

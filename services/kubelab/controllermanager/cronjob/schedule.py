"""The times of a schedule, computed by croniter in the CronJob's time zone."""

from __future__ import annotations

from datetime import datetime, tzinfo

from croniter import croniter
from dateutil import tz

from kubelab.apimachinery.batch.schedules import Schedule, time_zone


def zone_of(name: str) -> tzinfo:
    """Find a time zone; ``""`` is the one that this process has. Raises ValueError."""
    return time_zone(name) if name else tz.tzlocal()


def next_after(schedule: Schedule, after: float, zone: tzinfo) -> float | None:
    """Give the first time of a schedule after a moment, both in seconds since the epoch; None where there is none,
    as on 30 February."""
    if schedule.every:
        return float(int(after)) + schedule.every
    try:
        times = croniter(schedule.expression, datetime.fromtimestamp(after, zone), max_years_between_matches=5)
        return float(times.get_next(float))
    except (ValueError, OverflowError):  # croniter's errors, and times that no calendar has
        return None

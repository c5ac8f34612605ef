"""The schedules of CronJobs, in robfig/cron's grammar and words."""

from __future__ import annotations

import pytest

from kubelab.apimachinery.batch import schedules


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("* * * * *", "* * * * *"),
        ("0/5 * * * ?", "0,5,10,15,20,25,30,35,40,45,50,55 * * * *"),
        ("*/20 1-3 1,15 jan-MAR sun", "0,20,40 1,2,3 1,15 1,2,3 0"),
        ("*/1 */12 * * *", "* 0,12 * * *"),
        ("@hourly", "0 * * * *"),
        ("@weekly", "0 0 * * 0"),
        ("TZ=Asia/Seoul 5 4 * * *", "5 4 * * *"),
    ],
)
def test_what_is_a_schedule(text: str, expression: str) -> None:
    assert schedules.parse(text).expression == expression


def test_every_so_often() -> None:
    assert schedules.parse("@every 1h30m").every == 5400


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty spec string"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-2 * * * *", "beginning of range (5) beyond end of range (2): 5-2"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("* * L * *", 'failed to parse int from L: strconv.Atoi: parsing "L": invalid syntax'),
        ("@often", "unrecognized descriptor: @often"),
        ("@every day", 'failed to parse duration @every day: time: invalid duration "day"'),
    ],
)
def test_what_is_none(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 — the message is compared below
        schedules.parse(text)
    assert str(caught.value) == message

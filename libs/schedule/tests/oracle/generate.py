"""Fire times by other hands than ours, for `tests/oracle.rs`.

Two oracles: `cronsim`, which has the rules of Debian's cron (without its repeats of one moment), and a brute force that
walks every minute of the window over Python's `zoneinfo` and knows nothing but the definitions in docs/schedules.md.

    python3 -m venv venv && venv/bin/pip install cronsim tzdata
    venv/bin/python generate.py > cases.jsonl

Each line: zone, expression, policy, day_match, the moment after which, the fire times (seconds since 1970), and the last
one before the end of them.
"""

import json
import random
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo, reset_tzpath

from cronsim import CronSim

# The rules of the package tzdata, not those of the machine, which may be older.
reset_tzpath([])
UTC = timezone.utc
ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca",
    "America/Sao_Paulo", "Asia/Tehran", "Antarctica/Troll", "Pacific/Kiritimati", "Europe/Dublin", "America/St_Johns",
    "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Chatham", "America/Havana", "Asia/Gaza", "Africa/Cairo",
    "America/Asuncion", "America/Santiago", "Asia/Beirut", "Europe/London",
]
NAMES = {"month": "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(), "dow": "SUN MON TUE WED THU FRI SAT".split()}


def field(rng, low, high, star, name=None):
    """One random field of an expression."""
    if rng.random() < star:
        return "*" if rng.random() < 0.7 else f"*/{rng.randint(2, max(2, (high - low) // 2))}"
    items = []
    for _ in range(1 if rng.random() < 0.7 else rng.randint(2, 4)):
        first = rng.randint(low, high)
        kind = rng.random()
        if kind < 0.6:
            items.append(NAMES[name][first - low] if name and first - low < len(NAMES[name]) and rng.random() < 0.3 else str(first))
        else:
            last = rng.randint(first, high)
            items.append(f"{first}-{last}" + (f"/{rng.randint(1, 9)}" if last > first and rng.random() < 0.4 else ""))
    return ",".join(items)


def expression(rng):
    minute = field(rng, 0, 59, 0.3)
    hour = field(rng, 0, 23, 0.35)
    if rng.random() < 0.4:
        # Where clocks change.
        hour = rng.choice(["0", "1", "2", "3", "1,2", "0-3", "23", "2-3", "*", "*/2"])
    dom, dow = field(rng, 1, 31, 0.65), field(rng, 0, 6, 0.65, "dow")
    if rng.random() < 0.08:
        dom = rng.choice(["L", "LW"])
    elif rng.random() < 0.08:
        dow = rng.choice(["5L", "1#2", "0#1", "MON#3", "3#5", "0L"])
    return f"{minute} {hour} {dom} {field(rng, 1, 12, 0.8, 'month')} {dow}"


def numbers(text, low, high, names=()):
    """The numbers of a plain field, by the definitions."""
    found = set()
    for item in text.upper().split(","):
        base, _, step = item.partition("/")
        if base == "*":
            first, last = low, high
        else:
            first, _, last = base.partition("-")
            value = lambda word: names.index(word) + low if word in names else int(word)
            first = value(first)
            last = value(last) if last else (high if step else first)
        found.update(range(first, last + 1, int(step or 1)))
    return found


class Brute:
    """What a plain expression names, minute by minute."""

    def __init__(self, text, day_match):
        self.parts = text.split()
        minute, hour, dom, month, dow = self.parts
        self.minutes, self.hours = numbers(minute, 0, 59), numbers(hour, 0, 23)
        self.doms, self.months = numbers(dom, 1, 31), numbers(month, 1, 12, NAMES["month"])
        self.dows = {day % 7 for day in numbers(dow, 0, 7, NAMES["dow"])}
        self.both = day_match == "and" or dom.startswith("*") or dow.startswith("*")
        self.running = minute.startswith("*") or hour.startswith("*")

    def names(self, local):
        by_dom, by_dow = local.day in self.doms, (local.weekday() + 1) % 7 in self.dows
        day = (by_dom and by_dow) if self.both else (by_dom or by_dow)
        return day and local.month in self.months and local.hour in self.hours and local.minute in self.minutes

    def fires(self, zone, start, days, policy):
        found = set()
        if self.running or policy == "literal":
            for minute in range(days * 1440):
                moment = start + timedelta(minutes=minute + 1)
                if self.names(moment.astimezone(zone)):
                    found.add(int(moment.timestamp()))
            return sorted(found)
        # Each local minute once: at the first moment that shows it, or the first moment that shows a later one.
        local = start.astimezone(zone).replace(tzinfo=None, second=0) - timedelta(days=2)
        for _ in range((days + 4) * 1440):
            if self.names(local):
                moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
                if moment.astimezone(zone).replace(tzinfo=None) != local:
                    # It does not exist: back from a moment after the skip to the first that follows it.
                    moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
                    while (moment - timedelta(minutes=1)).astimezone(zone).replace(tzinfo=None) > local:
                        moment -= timedelta(minutes=1)
                found.add(int(moment.timestamp()))
            local += timedelta(minutes=1)
        low, high = start.timestamp(), (start + timedelta(days=days)).timestamp()
        return [at for at in sorted(found) if low < at <= high]


def changes(zone, year):
    """Days near which the zone's clocks change in a year."""
    moment, found = datetime(year, 1, 1, tzinfo=UTC), []
    for day in range(366):
        now, then = moment + timedelta(days=day), moment + timedelta(days=day + 1)
        if now.astimezone(zone).utcoffset() != then.astimezone(zone).utcoffset():
            found.append(now)
    return found


def start_of(rng, zone):
    year = rng.choice([2011, 2011, 2018, 2021, 2024, 2025, 2026, 2026, 2027, 2030, 2035])
    near = changes(zone, year)
    if near and rng.random() < 0.75:
        return rng.choice(near) - timedelta(minutes=rng.randint(0, 2000))
    return datetime(year, 1, 1, tzinfo=UTC) + timedelta(minutes=rng.randint(0, 366 * 1440))


def with_cronsim(rng):
    name = rng.choice(ZONES)
    zone = ZoneInfo(name)
    start, text = start_of(rng, zone), expression(rng)
    try:
        fires = []
        for found in CronSim(text, start.astimezone(zone)):
            at = int(found.timestamp())
            # It begins at what the clock shows, which may be the second time, and may say one moment twice.
            if at > start.timestamp() and (not fires or at > fires[-1]):
                fires.append(at)
            if len(fires) == 8:
                break
    except (AssertionError, Exception):
        return None
    # A day that a zone leaves out is what cronsim has no rule for.
    return None if len(fires) < 8 or name == "Pacific/Apia" else [name, text, "adjust", "or", int(start.timestamp()), fires]


def with_brute_force(rng):
    name = rng.choice(ZONES)
    zone = ZoneInfo(name)
    start = start_of(rng, zone)
    text = expression(rng)
    while any(word in text.replace("JUL", "") for word in ("L", "W#", "#")) or "LW" in text:
        text = expression(rng)
    policy, day_match = rng.choice(["adjust", "adjust", "literal"]), rng.choice(["or", "and"])
    fires = Brute(text, day_match).fires(zone, start, 4, policy)[:12]
    return [name, text, policy, day_match, int(start.timestamp()), fires] if fires else None


# Where cronsim goes on by whole hours from a change at midnight or of half an hour and steps over times that are there.
MISTAKES = [
    ["Asia/Gaza", "*/15 */2 */7 * *"], ["Pacific/Chatham", "* 3 L * *"], ["America/Santiago", "* 1 11 * 0-5"],
    ["Australia/Lord_Howe", "* 15 * * 0"],
]


def main():
    rng = random.Random(20260101)
    for make, count in ((with_cronsim, 2600), (with_brute_force, 1400)):
        done = 0
        while done < count:
            case = make(rng)
            if case:
                done += 1
                if case[:2] not in MISTAKES:
                    print(json.dumps(case, separators=(",", ":")))


main()

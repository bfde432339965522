"""The weather at a place, now and for three days, from wttr.in or a server of its kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from chatbot.core.sources.fetch import Fetched
from chatbot.errors import BadRequest, FetchFailed

_MOST_PLACE = 100
_MOST_DAYS = 5


def report(place: str, url: str, fetch: Callable[[str], Fetched]) -> tuple[str, str]:
    """(the weather as Markdown, where it is from). url holds {place}; with none the service
    goes by the address that asks. Raises BadRequest, FetchFailed."""
    place = " ".join(place.split())
    if len(place) > _MOST_PLACE:
        raise BadRequest(f"a place has at most {_MOST_PLACE} characters, such as /weather Oslo")
    try:
        came = fetch(url.replace("{place}", quote(place, safe="")))
    except FetchFailed as why:
        raise FetchFailed(f"there is no weather{f' for {place}' if place else ''}: {why.message}") from why
    try:
        return _told(json.loads(came.body)), came.final_url
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as why:
        raise FetchFailed(
            f"the weather service sent no weather for {place or 'here'}: try a larger place nearby"
        ) from why


def _told(said: Any) -> str:
    """The answer in words; any of the errors above when it is not in wttr.in's form (format j1)."""
    now, area = said["current_condition"][0], said["nearest_area"][0]
    where = ", ".join(filter(None, (_text(area["areaName"][0]["value"]), _text(area["country"][0]["value"]))))
    lines = [
        f"# Weather in {where}",
        "",
        f"Now: {_text(now['weatherDesc'][0]['value'])}, {_number(now['temp_C'])} °C, feels like "
        f"{_number(now['FeelsLikeC'])} °C, humidity {_number(now['humidity'])} %, wind "
        f"{_number(now['windspeedKmph'])} km/h from {_text(now['winddir16Point'])}",
        "",
        "| day | weather at noon | lowest °C | highest °C | chance of rain |",
        "|---|---|---|---|---|",
    ]
    for day in said["weather"][:_MOST_DAYS]:
        hours = day["hourly"]
        noon = _text(hours[len(hours) // 2]["weatherDesc"][0]["value"])
        rain = max(_number(hour["chanceofrain"]) for hour in hours)
        cells = (_text(day["date"]), noon, str(_number(day["mintempC"])), str(_number(day["maxtempC"])), f"{rain} %")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _number(value: object) -> int:
    return int(str(value)[:10])


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return " ".join(value.replace("|", "/").split())[:80]

"""Simulated sessions of views, carts and purchases, in which a user's earlier events influence later ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

from demo.catalogue import Catalogue
from demo.lines import CATEGORIES, LINES
from demo.tastes import DEVICES, Tastes

VIEW, CART, PURCHASE = range(3)
ACTIONS = ("view", "cart", "purchase")
DAY = 86400
EXPENSIVE = 10_000_000  # đồng; above that, people hesitate to buy
BUCKETS = ("night", "morning", "afternoon", "evening")  # of six hours each, from midnight

_CATEGORY_OF_LINE = np.array([list(CATEGORIES).index(line.category) for line in LINES])
_POSITION_OF_LINE = {line.key: position for position, line in enumerate(LINES)}
_COMPLEMENTS = tuple(np.array([_POSITION_OF_LINE[key] for key in line.complements], np.int64) for line in LINES)
_DAYS = np.array([line.days for line in LINES])
_SEASON = np.array([line.season for line in LINES])
_BUCKET = np.array([BUCKETS.index(line.bucket) if line.bucket else -1 for line in LINES])
_OUT = -1e9


@dataclass(frozen=True)
class Event:
    """One event: seconds since the first simulated day, user, item, action and device."""

    second: int
    user: int
    item: int
    action: int
    device: str | None


@dataclass
class _Visitor:
    """The state of one user during the simulation."""

    user: int
    liking: NDArray[np.float64]  # (n,) the part of an item's utility that does not change with the day
    fatigue: NDArray[np.float64]  # (n,) loss of utility by owning the item, or another of its line
    due: list[tuple[float, int]] = field(default_factory=list)
    basket: list[tuple[float, int]] = field(default_factory=list)
    seen: dict[int, float] = field(default_factory=dict)
    last_bought: tuple[float, int] = (-1e6, -1)


def make_events(rng: np.random.Generator, catalogue: Catalogue, tastes: Tastes, start: date, days: int) -> list[Event]:
    """Return all simulated events, ordered by time.

    Args:
        rng: The random generator.
        catalogue: The products.
        tastes: The users' preferences.
        start: The first simulated day.
        days: Length of the simulated period.
    """
    events: list[Event] = []
    months = _months(start, days)
    day_shares = _day_shares(start, months)
    for user in range(len(tastes.budget)):
        visitor = _Visitor(user, _liking(catalogue, tastes, user), np.zeros(len(catalogue.products)))
        for second in _visits(rng, tastes, user, day_shares):
            events += _Session(rng, catalogue, tastes, visitor, second, months[second // DAY]).events()
    in_period = (event for event in events if event.second < days * DAY)  # the last session may run longer
    return sorted(in_period, key=lambda event: (event.second, event.user))


def _liking(catalogue: Catalogue, tastes: Tastes, user: int) -> NDArray[np.float64]:
    style = catalogue.styles @ tastes.styles[user] / np.sqrt(catalogue.styles.shape[1])
    price = -6 * (catalogue.expensiveness - tastes.budget[user]) ** 2
    brand = tastes.brands[user][catalogue.brands]
    liking: NDArray[np.float64] = catalogue.popularity + 0.7 * style + brand + price + 0.8 * catalogue.quality
    return liking


def _months(start: date, days: int) -> NDArray[np.float64]:
    """Return `(days,)` float64: the time of year of each day, from 1.0 (1 January) to below 13."""
    return (start.timetuple().tm_yday - 1 + np.arange(days)) / 365.25 % 1 * 12 + 1


def _day_shares(start: date, months: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `(days,)` relative traffic: it grows, and is higher on weekends and in December, lower in summer."""
    day = np.arange(len(months))
    season = 1 + 0.7 * np.exp(-0.5 * ((months - 12.3) / 0.6) ** 2) - 0.15 * np.exp(-0.5 * ((months - 8) / 0.8) ** 2)
    weekend = (start.weekday() + day) % 7 >= 5
    return season * np.where(weekend, 1.2, 1.0) * (0.8 + 0.4 * day / len(months))


def _visits(rng: np.random.Generator, tastes: Tastes, user: int, day_shares: NDArray[np.float64]) -> Iterator[int]:
    """Yield the seconds at which a user's sessions begin, in ascending order."""
    shares = np.where(np.arange(len(day_shares)) >= tastes.joined[user], day_shares, 0)
    if shares.sum() == 0:
        return
    n_visits = rng.poisson(tastes.sessions_a_month[user] * shares.sum() / day_shares.mean() / 30.44)
    day = rng.choice(len(shares), n_visits, p=shares / shares.sum())
    hour = rng.choice(24, n_visits, p=tastes.hours[user])
    yield from sorted((day * DAY + hour * 3600 + rng.integers(3600, size=n_visits)).tolist())


class _Session:
    """One session: a first item, some steps to other items, and perhaps purchases."""

    def __init__(
        self,
        rng: np.random.Generator,
        catalogue: Catalogue,
        tastes: Tastes,
        visitor: _Visitor,
        second: int,
        month: float,
    ) -> None:
        self.rng, self.catalogue, self.tastes, self.visitor = rng, catalogue, tastes, visitor
        self.second, self.day = second, second / DAY
        device = rng.choice(len(DEVICES), p=tastes.devices[visitor.user])
        self.device = DEVICES[device] if rng.random() > 0.02 else None  # some browsers send no device
        self.utility = visitor.liking + visitor.fatigue + self._moment(month)
        on_sale = (catalogue.launched <= self.day) & (self.day < catalogue.ended)
        self.utility[~on_sale] = _OUT
        self.on_sale = on_sale
        self.log: list[Event] = []
        self.spread = self.utility[on_sale].std() + 1e-9 if on_sale.any() else 1.0
        self.average = self.utility[on_sale].mean() if on_sale.any() else 0.0

    def events(self) -> list[Event]:
        """Return the session's events in their order."""
        if not self.on_sale.any():
            return []
        purchases = self._finish_basket()
        bought_again = self._buy_again()
        item = self._first_item() if bought_again is None else self._next(bought_again)
        for _ in range(min(12, self.rng.geometric(0.3))):
            purchases += [item] if self._look_at(item) else []
            item = self._next(item)
        for item in dict.fromkeys(purchases):
            self._pay(item)
        return self.log

    def _moment(self, month: float) -> NDArray[np.float64]:
        """Return `(n,)` utility by day and hour: drift of taste, season, time of day, novelty."""
        category = self.tastes.categories(self.visitor.user, self.day)
        season = np.where(_SEASON > 0, 1.1 * np.cos(2 * np.pi * (month - 0.5 - _SEASON) / 12), 0.0)
        bucket = int(self.second % DAY // (6 * 3600))
        hour = np.where(_BUCKET < 0, 0.0, np.where(_BUCKET == bucket, 1.3, -0.4))
        lines = category[_CATEGORY_OF_LINE] + season + hour
        age = np.maximum(self.day - self.catalogue.launched, 0)
        novelty = 1.3 * np.exp(-age / 15) * (self.catalogue.launched >= 0)
        added: NDArray[np.float64] = lines[self.catalogue.lines] + novelty
        return added

    def _choose(self, allowed: NDArray[np.bool_] | None = None) -> int:
        """Draw an item from the softmax of the utilities, by adding Gumbel noise."""
        utility = self.utility + self.rng.gumbel(size=len(self.utility))
        if allowed is not None and (allowed & self.on_sale).any():
            utility = np.where(allowed, utility, _OUT)
        return int(utility.argmax())

    def _of_lines(self, lines: NDArray[np.int64]) -> int:
        return self._choose(np.isin(self.catalogue.lines, lines))

    def _first_item(self) -> int:
        bought_on, bought = self.visitor.last_bought
        if self.day - bought_on < 45 and len(self._complements(bought)) and self.rng.random() < 0.5:
            return self._of_lines(self._complements(bought))
        recent = [item for item, day in self.visitor.seen.items() if self.day - day < 14 and self.on_sale[item]]
        if recent and self.rng.random() < 0.3:
            return recent[-1]
        return self._choose()

    def _next(self, item: int) -> int:
        """Return the next item: one of the same line, a complement, or any other."""
        step = self.rng.random()
        if step < 0.35:
            return self._of_lines(self.catalogue.lines[[item]])
        if step < 0.65 and len(self._complements(item)):
            return self._of_lines(self._complements(item))
        return self._choose()

    def _complements(self, item: int) -> NDArray[np.int64]:
        lines: NDArray[np.int64] = _COMPLEMENTS[self.catalogue.lines[item]]
        return lines

    def _look_at(self, item: int) -> bool:
        """Log a view, and maybe a cart; return whether the item is purchased in this session."""
        self._log(item, VIEW)
        product = self.catalogue.products[item]
        again = self.day - self.visitor.seen.get(item, -1e6) < 14
        self.visitor.seen.pop(item, None)
        self.visitor.seen[item] = self.day
        wish = 0.01 + 0.06 * (self.utility[item] - self.average) / self.spread
        price = (0.6 if product.price > EXPENSIVE else 1.0) * (1.2 if product.discount else 1.0)
        wish *= (1.7 if again else 1.0) * price
        wish *= 0.25 if any(item == stocked for _, stocked in self.visitor.due) else 1.0
        if self.rng.random() > np.clip(wish, 0.005, 0.6):
            return False
        self._log(item, CART)
        if self.rng.random() < (0.5 if self.device == "mobile" else 0.62):
            return True
        self.visitor.basket.append((self.day, item))
        return False

    def _finish_basket(self) -> list[int]:
        """Return items of the last session's basket that are purchased now; the others are dropped."""
        basket, self.visitor.basket = self.visitor.basket, []
        fresh = [item for day, item in basket if self.day - day < 10 and self.on_sale[item]]
        return [item for item in fresh if self.rng.random() < 0.4]

    def _buy_again(self) -> int | None:
        """Purchase items that are used up, mostly after one view; return the last of them."""
        due = [item for day, item in self.visitor.due if day <= self.day]
        self.visitor.due = [entry for entry in self.visitor.due if entry[0] > self.day]
        last = None
        for item in due:
            if self.on_sale[item] and self.rng.random() < self.tastes.loyalty[self.visitor.user]:
                if self.rng.random() < 0.7:
                    self._log(item, VIEW)
                self._log(item, CART)
                self._pay(item)
                last = item
        return last

    def _pay(self, item: int) -> None:
        self._log(item, PURCHASE)
        line = int(self.catalogue.lines[item])
        self.visitor.last_bought = (self.day, item)
        if _DAYS[line]:
            self.visitor.due.append((self.day + _DAYS[line] * self.rng.lognormal(0, 0.2), item))
            return
        self.visitor.fatigue[self.catalogue.lines == line] -= 1.2
        self.visitor.fatigue[item] -= 4.0

    def _log(self, item: int, action: int) -> None:
        self.log.append(Event(self.second, self.visitor.user, item, action, self.device))
        self.second += int(self.rng.integers(15, 140))

"""A shop as a stream of events, and the truth about it."""

from collections.abc import Iterator, Mapping, Sequence

from stream.events.logs import Event
from stream.simulate.calendar import Calendar, Promotion, Trend, TrendKind
from stream.simulate.catalogue import Catalogue
from stream.simulate.life import Life
from stream.simulate.plan import ShopPlan
from stream.units import Millis


class Shop:
    """A simulated shop. What it says of a time to come is true: asking does not change it.

    >>> shop = Shop(ShopPlan(products=60, customers=50, events_per_day=1_000))
    >>> next(shop.events()).topic
    'catalog'
    """

    def __init__(self, plan: ShopPlan) -> None:
        catalogue = Catalogue(plan)
        self.plan = plan
        self._calendar = Calendar(plan, catalogue.rank, len(catalogue.categories))

    def events(self, *, catalog: bool = True) -> Iterator[Event]:
        """Tell every event in order of its time, without end. Each call begins anew.

        Args:
            catalog: Tell of products too, not only of clicks and orders.
        """
        events = Life(self.plan, self._calendar).events()
        return events if catalog else (event for event in events if event.topic != "catalog")

    def trends(self, kind: TrendKind, until: Millis) -> Sequence[Trend]:
        """Give the trends of a kind that start up to a time."""
        days = self._calendar.planned_until(until)
        return [t for day in days for t in day.trends if t.kind == kind and t.starts <= until]

    def promotions(self, until: Millis) -> Sequence[Promotion]:
        """Give the promotions that start up to a time."""
        days = self._calendar.planned_until(until)
        return [p for day in days for p in day.promotions if p.starts <= until]

    def takeoffs(self, until: Millis) -> Mapping[str, Millis]:
        """Say which products take off up to a time, and when their interest begins to rise."""
        return {trend.product_id: trend.starts for trend in self.trends("takeoff", until)}

    def fads(self, until: Millis) -> Mapping[str, Millis]:
        """Say which products are only looked at more, up to a time, and from when on."""
        return {trend.product_id: trend.starts for trend in self.trends("fad", until)}

    def taking_off(self, at: Millis) -> set[str]:
        """Say which products are taking off: interest has begun to rise, sales are still behind."""
        return {t.product_id for t in self.trends("takeoff", at) if at < t.saturates}

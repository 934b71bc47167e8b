"""Step 6: a model's name and its `Usage` become nano-dollars."""

from allowance.prices.catalogue import Catalogue, OnUnknown
from allowance.prices.price import MoreRates, Price, Rates, Situation

__all__ = ["Catalogue", "MoreRates", "OnUnknown", "Price", "Rates", "Situation"]

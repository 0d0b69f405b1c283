"""Terms that were read before: a resource repeats them, and reading and choosing depends on nothing but them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from life.haima.x402.networks import NetworkRegistry
from life.haima.x402.terms import Offers, Terms, TermsPreference, choose_terms, read_body, read_header

_KEPT: Final = 64
_KEPT_CHARS: Final = 16 * 1024
"""How many different terms are kept read, and how long they may be."""


class KnownTerms:
    """Reads the terms of 402s, chooses among their offers, and remembers the last ones."""

    def __init__(
        self,
        registry: NetworkRegistry,
        preference: TermsPreference,
        *,
        allowed_networks: tuple[str, ...],
        permits: bool,
        solana: Collection[str] = (),
    ) -> None:
        """See `terms.choose_terms`."""
        self._registry = registry
        self._preference = preference
        self._allowed_networks = allowed_networks
        self._permits = permits
        self._solana = solana
        self._chosen: dict[str | bytes, tuple[Offers, Terms]] = {}
        self._of_url: dict[str, str | bytes] = {}

    def is_terms(self, body: bytes) -> bool:
        """Whether the body of a 402 holds terms of x402."""
        return body in self._chosen or read_body(body, self._registry) is not None

    def offers(self, source: str) -> Offers:
        """What a PAYMENT-REQUIRED header offers; MalformedPaymentError."""
        known = self._chosen.get(source)
        return known[0] if known is not None else read_header(source)

    def choose(self, source: str | bytes) -> tuple[Offers, Terms]:
        """What is asked (a header, or a body that `is_terms`) and what is taken of it. MalformedPaymentError;
        NoAcceptableTermsError."""
        known = self._chosen.get(source)
        if known is None:
            offers = read_header(source) if isinstance(source, str) else read_body(source, self._registry)
            assert offers is not None  # `is_terms`
            known = offers, self.choose_among(offers)
            if len(source) <= _KEPT_CHARS:
                while len(self._chosen) >= _KEPT:
                    del self._chosen[next(iter(self._chosen))]
                self._chosen[source] = known
        return known

    def choose_among(self, offers: Offers) -> Terms:
        """What is taken of these. NoAcceptableTermsError."""
        return choose_terms(
            offers,
            self._registry,
            self._preference,
            allowed_networks=self._allowed_networks,
            permits=self._permits,
            solana=self._solana,
        )

    def of_url(self, url: str) -> str | bytes | None:
        """The terms that this URL asked for last."""
        return self._of_url.get(url)

    def remember(self, url: str, source: str | bytes) -> None:
        """This URL asks for these."""
        self._of_url[url] = source
        while len(self._of_url) > _KEPT:
            del self._of_url[next(iter(self._of_url))]

    def forget(self, url: str) -> None:
        """They did not hold."""
        self._of_url.pop(url, None)

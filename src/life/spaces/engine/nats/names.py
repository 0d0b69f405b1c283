"""What one deployment of Spaces is called on the servers. `<name>` is the deployment's name, `spaces` unless set otherwise.

    stream <name>, subject <name>.log       the log: one message per block of entries, nothing else
    <name>.live                             not stored: the server repeats each stored block here, with its sequence
    <name>.contend                          not stored: hubs whose block came too late say so
    <name>.transient                        not stored: typing, voice signals
    <name>.stop.<principal>.<subscription>  not stored: another hub tells this subscription from now on
    <name>.kick                             not stored: somebody is thrown out; the log says it again
    bucket <name>-presence                  leases of those who are here, with a time to live; a bucket is a stream with one message
                                            per key, on <name>.lease.<bucket>.<key>
    bucket <name>-tokens                    digests of the login tokens that were used, until they have expired anyway
    bucket <name>-logins                    agents that are connected to the servers themselves, until their lease ends

    <name>.cmd.<principal>.<space>.<reducer>   a command of an agent that is connected to the servers itself
    <name>.evt.<principal>.<subscription>      what such an agent is told
    <name>.inbox.<principal>.>                 where answers to it go

A principal is an identity: 64 hex digits. `<space>` is the number of the space that the command is about, or `-`.
"""

from __future__ import annotations

import re
from typing import Final

from life.spaces.errors import InvalidArgumentError

DEFAULT_NAME: Final = "spaces"
NO_SPACE: Final = "-"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


class Names:
    """The names of one deployment."""

    def __init__(self, name: str = DEFAULT_NAME) -> None:
        """InvalidArgumentError for a name that is not 1 to 32 letters, digits, `-` and `_`."""
        if _NAME.fullmatch(name) is None:
            raise InvalidArgumentError(
                "A deployment on NATS is named with 1 to 32 letters, digits, '-' and '_', beginning with a letter or digit."
            )
        self.stream = name
        self.log = f"{name}.log"
        self.live = f"{name}.live"
        self.contend = f"{name}.contend"
        self.transient = f"{name}.transient"
        self.kick = f"{name}.kick"
        self.presence = f"{name}-presence"
        self.tokens = f"{name}-tokens"
        self.logins = f"{name}-logins"
        self.stops = f"{name}.stop.*.*"
        """All subscriptions that end here or there."""
        self.commands = f"{name}.cmd.*.*.*"
        """All commands of all agents."""

    def lease(self, bucket: str) -> str:
        """The subjects of a bucket, without the key."""
        return f"{self.stream}.lease.{bucket.removeprefix(f'{self.stream}-')}"

    def command(self, principal: str, space: str, reducer: str) -> str:
        """Where an agent asks for a command."""
        return f"{self.stream}.cmd.{principal}.{space}.{reducer}"

    def commands_of(self, principal: str) -> str:
        """All commands of one agent: what it may publish."""
        return f"{self.stream}.cmd.{principal}.*.*"

    def events_of(self, principal: str) -> str:
        """Everything that is told to one agent: what it may listen to."""
        return f"{self.stream}.evt.{principal}.>"

    def event(self, principal: str, subscription: str) -> str:
        """Where the updates of a subscription go."""
        return f"{self.stream}.evt.{principal}.{subscription}"

    def stop(self, principal: str, subscription: str) -> str:
        """Where it is said that a subscription ends, or moves to another hub."""
        return f"{self.stream}.stop.{principal}.{subscription}"

    def inbox_of(self, principal: str) -> str:
        """The prefix of an agent's inbox."""
        return f"{self.stream}.inbox.{principal}"

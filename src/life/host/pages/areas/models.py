"""Models with prices, and their providers' keys: entered by a plain form, tried, sealed."""

from __future__ import annotations

from starlette.responses import Response

from life.host.model_api import NewKey
from life.host.model_keys import check_provider
from life.host.model_list import list_models
from life.host.pages.areas.room import Place, Room, back_to
from life.host.pages.areas.system import system_tabs
from life.host.pages.listing import listed
from life.host.pages.parts import Block, Button, Card, Choice, Column, Fact, Facts, Field, Form, Note, Row, View
from life.host.pages.visit import Visit
from life.host.pages.words import Words


class ModelPages:
    """The handlers."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def places(self) -> list[Place]:
        """The addresses."""
        return [
            Place("/system/models", self.models),
            Place("/system/models/keys/{provider}", self.set_key, "POST"),
            Place("/system/models/keys/{provider}/test", self.test_key, "POST"),
            Place("/system/models/keys/{provider}/forget", self.forget_key, "POST"),
        ]

    async def models(self, visit: Visit) -> View:
        """Models with prices, and their providers' keys: entered here, tried, sealed."""
        say, system = visit.say, self._room.system
        cards = self._key_cards(say)
        found = await list_models(system.settings, system.model_keys)
        rows: list[Row] = [
            {
                "id": line.id,
                "provider": line.provider,
                "input": line.input_micro_per_mtok,
                "output": line.output_micro_per_mtok,
                "read": line.priced_on,
                "ready": line.ready,
                "why": say.known(line.why_code),
            }
            for line in found
        ]
        columns = [
            Column("id", say("Model"), "code"),
            Column("input", say("Prompt, a million tokens"), "price"),
            Column("output", say("Answer, a million tokens"), "price"),
            Column("read", say("Price read on"), "code"),
            Column("ready", say("Ready"), "yes"),
            Column("why", say("What is missing")),
            Column("provider", say("Provider"), "tag", shown=False),
        ]
        choices = [
            Choice(
                "provider",
                say("Provider"),
                [(name, name) for name in dict.fromkeys(str(row["provider"]) for row in rows)],
            ),
            Choice("ready", say("Ready"), [("yes", say("yes")), ("no", say("no"))]),
        ]
        table = listed(visit.query, columns, rows, empty="", choices=choices, title=say("Models"))
        facts = Facts([Fact(say("Sessions that name none use"), system.settings.model.provider, "code")])
        return View(say("Models and keys"), [facts, *cards, table], "life models list", tabs=system_tabs(say))

    def _key_cards(self, say: Words) -> list[Block]:
        keys = self._room.system.model_keys
        why_not = keys.obstacle()
        blocks: list[Block] = [Note(why_not, "wait")] if why_not else []
        for line in keys.lines():
            action = f"/system/models/keys/{line.provider}"
            facts = [
                Fact(say("Key"), say.known(line.source), "tag", tone="" if line.source == "none" else "good"),
                Fact(say("Variable"), line.variable if line.source == "environment" else "", "code"),
                Fact(say("Set on"), (line.set_at or "")[:19].replace("T", " "), "code"),
                Fact(say("Sent to"), line.address, "code"),
            ]
            fields = [Field("key", say("New key"), "password", required=True, most=512)]
            if line.provider == "compatible":
                fields.append(Field("model", say("Model to try it with, as MODEL@URL"), most=500))
            fields.append(Field("untested", say("Store it without trying it"), "check"))
            forms = (
                [] if why_not else [Form(action, [Button(say("Try it and seal it"))], fields, title=say("Enter a key"))]
            )
            if line.source != "none" and line.provider != "compatible":
                forms.append(Form(f"{action}/test", [Button(say("Try the key in force"), quiet=True)]))
            if line.stored:
                forms.append(Form(f"{action}/forget", [Button(say("Forget the stored key"), quiet=True)]))
            if not line.readable:
                facts.append(Fact(say("Remark"), say("It can't be opened; enter it again."), tone="bad"))
            blocks.append(Card(line.provider, [fact for fact in facts if fact.value], forms=forms))
        return blocks

    async def set_key(self, visit: Visit) -> Response:
        """Try a key and seal it."""
        form, provider = await visit.form(), visit.part("provider")
        check_provider(provider)
        new = NewKey(key=form.get("key", "").strip(), test="untested" not in form, model=form.get("model", "").strip())
        await self._room.models.store(provider, new)
        return back_to("/system/models")

    async def test_key(self, visit: Visit) -> View | Response:
        """Try the key in force."""
        await visit.form()
        say, provider = visit.say, visit.part("provider")
        tested = await self._room.tester.test(provider)
        words = say("{model} answered within {took_ms} ms.", model=tested.model, took_ms=tested.took_ms)
        note = Note(words, "good", href="/system/models", link=say("Models and keys"))
        return View(provider, [note], f"life models key test {provider}", tabs=system_tabs(say))

    async def forget_key(self, visit: Visit) -> Response:
        """Forget a stored key."""
        await visit.form()
        self._room.system.model_keys.forget(visit.part("provider"))
        return back_to("/system/models")

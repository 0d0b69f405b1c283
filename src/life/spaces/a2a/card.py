"""The agent card: built, signed, verified (A2A 1.0, "Agent Card", "Signing").

The signature is a JWS (RFC 7515) over the card's canonical JSON (RFC 8785) without its signatures and without members that have their
default. It is ES256 by the key of `kid`, which is the agent's DID (did:key, P-256), so the key is in its own name; whether that DID is
the agent one means is the reader's to say.

    card = build_card(profile)
    signed = await sign_card(card, custody)
    did = verify_card(document, trusted=lambda did: did in friends)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.json import Json, JsonObject
from life.crypto.base64url import decode_base64url, encode_base64url
from life.crypto.canonical import canonical_json
from life.crypto.did import Curve, resolve_kid
from life.crypto.errors import CryptoError
from life.crypto.jws import verify_signature
from life.crypto.strict_json import decode_json_object
from life.spaces.a2a.errors import CardRefusedError
from life.spaces.a2a.ports import TokenSigner
from life.spaces.a2a.wire import VERSION

SIGNATURE_TYPE: Final = "JOSE"
MAX_CARD_BYTES: Final = 262_144
"""Largest card that is read."""
MAX_SIGNED_BYTES: Final = 5_800
"""Largest card that custody signs: a token has 8 KiB at most."""
MAX_SIGNATURES: Final = 8
X402_EXTENSION: Final = "https://github.com/google-agentic-commerce/a2a-x402/blob/main/spec/v0.2"
BEARER: Final = "agentToken"
"""The name of our security scheme."""

TEXT: Final = "text/plain"
JSON: Final = "application/json"

Trust = Callable[[str], bool]
"""Whether a DID is one whose cards count."""


class Skill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something the agent does for others. `price` in the words of the till (`$0.01`); empty: free."""

    id: str
    name: str
    description: str
    tags: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    price: str = ""
    is_private: bool = False
    """Told in the extended card alone."""


class Profile(NamedTuple):
    """What a card says."""

    name: str
    description: str
    version: str
    base_url: str
    """Where the bindings stand: `{base_url}` JSON-RPC, `{base_url}/v1` HTTP+JSON."""
    skills: tuple[Skill, ...]
    organization: str = ""
    organization_url: str = ""
    documentation_url: str = ""
    push: bool = False
    extended: bool = False
    audience: str = ""
    """The `aud` that agent tokens must name."""


class Interface(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One way to call an agent."""

    url: str
    protocol_binding: str
    protocol_version: str = ""
    tenant: str = ""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an agent can beside answering."""

    streaming: bool = False
    push_notifications: bool = False
    extended_agent_card: bool = False
    extensions: tuple[JsonObject, ...] = ()


class CardSkill(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A skill as others tell it."""

    id: str
    name: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()


class AgentCard(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a client reads of a card. Unknown members are passed over."""

    name: str
    description: str = ""
    version: str = ""
    supported_interfaces: tuple[Interface, ...]
    capabilities: Capabilities = Capabilities()
    skills: tuple[CardSkill, ...] = ()


class VerifiedCard(NamedTuple):
    """A card and who signed it (None: nobody, and nobody had to)."""

    card: AgentCard
    signer: str | None


def build_card(profile: Profile, *, extended: bool = False) -> dict[str, Json]:
    """The card without signatures; members that have their default are left out."""
    skills = [skill for skill in profile.skills if extended or not skill.is_private]
    extensions: list[Json] = []
    if any(skill.price for skill in profile.skills):
        prices = {skill.id: skill.price for skill in skills if skill.price}
        extensions.append(
            {"uri": X402_EXTENSION, "description": "Paid skills are settled over x402.", "params": {"prices": prices}}
        )
    card: dict[str, Json] = {
        "name": profile.name,
        "description": profile.description,
        "version": profile.version,
        "supportedInterfaces": [
            {"url": profile.base_url, "protocolBinding": "JSONRPC", "protocolVersion": VERSION},
            {"url": f"{profile.base_url}/v1", "protocolBinding": "HTTP+JSON", "protocolVersion": VERSION},
        ],
        "provider": {"organization": profile.organization, "url": profile.organization_url},
        "documentationUrl": profile.documentation_url,
        "capabilities": {
            "streaming": True,
            "pushNotifications": profile.push,
            "extendedAgentCard": profile.extended,
            "extensions": extensions,
        },
        "securitySchemes": {
            BEARER: {
                "httpAuthSecurityScheme": {
                    "scheme": "Bearer",
                    "bearerFormat": "JWT",
                    "description": f"An agent token (typ agent+jwt, ES256, kid a did:key) with aud {profile.audience}.",
                }
            }
        },
        "defaultInputModes": [TEXT, JSON],
        "defaultOutputModes": [TEXT],
        "skills": [
            {
                "id": skill.id,
                "name": skill.name,
                "description": skill.description,
                "tags": list(skill.tags),
                "examples": list(skill.examples),
            }
            for skill in skills
        ],
    }
    made = _cleaned(card, drop_defaults=True)
    assert isinstance(made, dict)
    # A scheme without scopes is an empty list of them: readers need it, and the canonical form leaves it out.
    return {**made, "securityRequirements": [{"schemes": {BEARER: {"list": []}}}]}


async def sign_card(card: Mapping[str, Json], signer: TokenSigner) -> dict[str, Json]:
    """The card with this agent's signature. InvalidInputError for one that is too large to be signed."""
    payload = canonical_card(card)
    if len(payload) > MAX_SIGNED_BYTES:
        raise InvalidInputError(
            f"An agent card has at most {MAX_SIGNED_BYTES} bytes.", next_step="Shorten its skills' texts."
        )
    content = {name: value for name, value in card.items() if name != "signatures"}
    signed = _sorted(_cleaned(content))
    assert isinstance(signed, dict)
    protected, written, signature = (await signer.sign_token(signed, typ=SIGNATURE_TYPE)).split(".")
    if written != encode_base64url(payload):
        raise InvalidInputError("The card has a value that canonical JSON writes otherwise, such as a fraction.")
    return {**content, "signatures": [{"protected": protected, "signature": signature}]}


def canonical_card(card: Mapping[str, Json], *, without_defaults: bool = False) -> bytes:
    """What is signed: the card without its signatures and without empty members; `without_defaults` also without `false` and 0, as
    readers of the protocol's own types see it. CardRefusedError for what has no canonical form."""
    content = {name: value for name, value in card.items() if name != "signatures"}
    try:
        return canonical_json(_cleaned(content, drop_defaults=without_defaults))
    except CryptoError:
        raise CardRefusedError("The card has no canonical form.") from None
    except RecursionError:
        raise CardRefusedError("The card is nested too deeply.") from None


def read_card(document: bytes) -> dict[str, Json]:
    """The card's JSON; CardRefusedError for what is too large, no JSON object, or has a member twice."""
    if len(document) > MAX_CARD_BYTES:
        raise CardRefusedError(f"The card is larger than {MAX_CARD_BYTES} bytes.")
    try:
        return decode_json_object(document)  # type: ignore[return-value]  # JSON holds nothing but JSON
    except CryptoError:
        raise CardRefusedError("The card is no JSON object.") from None


def verify_card(document: bytes, *, trusted: Trust, required: bool = True) -> VerifiedCard:
    """The card, when one of its signatures is by a DID that is trusted. With `required` false an unsigned card is read, too; one whose
    signatures are all bad never is. CardRefusedError."""
    members = read_card(document)
    try:
        card = msgspec.convert(members, AgentCard)
    except msgspec.ValidationError as error:
        raise CardRefusedError(f"The card does not fit: {error}.") from None
    signatures = members.get("signatures") or []
    if not isinstance(signatures, Sequence) or len(signatures) > MAX_SIGNATURES:
        raise CardRefusedError("The card's signatures do not fit.")
    if not signatures:
        if required:
            raise CardRefusedError("The card is not signed.")
        return VerifiedCard(card, None)
    forms = {canonical_card(members), canonical_card(members, without_defaults=True)}
    for signature in signatures:
        signer = _signer(signature, forms)
        if signer is not None and trusted(signer):
            return VerifiedCard(card, signer)
    raise CardRefusedError(
        "No signature of the card holds and is by somebody trusted.",
        next_step="Compare the agent's DID with the one you were told, and trust it if they are the same.",
    )


def etag(document: bytes) -> str:
    """A validator of the document."""
    return f'"{hashlib.sha256(document).hexdigest()[:32]}"'


def _signer(signature: Json, forms: set[bytes]) -> str | None:
    """The DID whose key made this signature over one of the forms; None when it does not hold."""
    if not isinstance(signature, Mapping):
        return None
    protected, value = signature.get("protected"), signature.get("signature")
    if not isinstance(protected, str) or not isinstance(value, str):
        return None
    try:
        header = decode_json_object(decode_base64url(protected))
        kid = header.get("kid")
        if header.get("alg") != "ES256" or not isinstance(kid, str) or {"crit", "b64", "jwk"} & header.keys():
            return None
        key = resolve_kid(kid)
        if key.curve is not Curve.P256:
            return None
        raw = decode_base64url(value)
    except CryptoError:
        return None
    for form in forms:
        try:
            verify_signature(key, f"{protected}.{encode_base64url(form)}".encode(), raw)
        except CryptoError:
            continue
        return key.did
    return None


def _cleaned(value: Json, *, drop_defaults: bool = False, opaque: bool = False) -> Json:
    """Without empty texts, lists and objects, at any depth; None when nothing is left. `params` of extensions are free JSON: their
    `false` and 0 stay."""
    if isinstance(value, Mapping):
        kept: dict[str, Json] = {}
        for name, member in value.items():
            left = _cleaned(member, drop_defaults=drop_defaults, opaque=opaque or name == "params")
            if left is not None:
                kept[name] = left
        return kept or None
    if isinstance(value, list | tuple):
        left_over = [_cleaned(member, drop_defaults=drop_defaults, opaque=opaque) for member in value]
        return [member for member in left_over if member is not None] or None
    if isinstance(value, str) and not value:
        return None
    if drop_defaults and not opaque and (value is False or value == 0):
        return None
    return value


def _sorted(value: Json) -> Json:
    """Members in canonical order, so that a plain encoder writes the canonical form. Names of cards are ASCII."""
    if isinstance(value, Mapping):
        return {name: _sorted(value[name]) for name in sorted(value)}
    if isinstance(value, list | tuple):
        return [_sorted(member) for member in value]
    return value

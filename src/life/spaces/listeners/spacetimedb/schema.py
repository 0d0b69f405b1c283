"""The module as clients learn of it: the description that SpacetimeDB serves (RawModuleDefV9 as JSON), and bindings for its npm client.

The official generator makes bindings from a compiled module, which Spaces has none of. So this server writes them itself: `bindings` is a JavaScript module over
the npm package `spacetimedb`, with every table and reducer, in the form that its own generated code has.
"""

from __future__ import annotations

from functools import cache

import msgspec

from life.aios.json import Json
from life.spaces.listeners.spacetimedb.bsatn import (
    ArrayType,
    BoolType,
    EnumType,
    IdentityType,
    IntType,
    OptionType,
    ProductType,
    TextType,
    TimestampType,
    Type,
)
from life.spaces.listeners.spacetimedb.types import REDUCERS, TABLES_SEEN, Column, Table

CLIENT_VERSION = "2.0.0"
"""The protocol generation that bindings are made for."""


@cache
def module_definition() -> bytes:
    """The module's description: typespace, tables, reducers (GET /v1/database/{name}/schema)."""
    types: list[Json] = []
    named: list[Json] = []
    tables: list[Json] = []
    for table in TABLES_SEEN.values():
        ref = len(types)
        types.append(_json_type(table.type))
        named.append({"name": {"scope": [], "name": table.type.name}, "ty": ref, "custom_ordering": True})
        columns = [column.name for column in table.columns]
        key: list[Json] = [columns.index(name) for name in table.key]
        tables.append(
            {
                "name": table.name,
                "product_type_ref": ref,
                "primary_key": key if len(key) == 1 else [],
                "indexes": [],
                "constraints": [{"name": {"none": []}, "data": {"Unique": {"columns": key}}}],
                "sequences": [],
                "schedule": {"none": []},
                "table_type": {"User": []},
                "table_access": {"Public": []},
            }
        )
    reducers: list[Json] = [
        {"name": reducer.name, "params": _json_fields(reducer.columns), "lifecycle": {"none": []}}
        for reducer in REDUCERS.values()
    ]
    return msgspec.json.encode(
        {
            "typespace": {"types": types},
            "tables": tables,
            "reducers": reducers,
            "types": named,
            "misc_exports": [],
            "row_level_security": [],
        }
    )


def _json_fields(columns: tuple[tuple[str, Type], ...] | tuple[Column, ...]) -> Json:
    return {"elements": [{"name": {"some": name}, "algebraic_type": _json_type(kind)} for name, kind in columns]}


def _json_type(kind: Type) -> Json:
    match kind:
        case IntType():
            return {kind.name: []}
        case BoolType():
            return {"Bool": []}
        case TextType():
            return {"String": []}
        case IdentityType():
            return {"Product": {"elements": [{"name": {"some": "__identity__"}, "algebraic_type": {"U256": []}}]}}
        case TimestampType():
            name = "__timestamp_micros_since_unix_epoch__"
            return {"Product": {"elements": [{"name": {"some": name}, "algebraic_type": {"I64": []}}]}}
        case EnumType():
            return {"Sum": {"variants": [_json_variant(name, {"Product": {"elements": []}}) for name in kind.variants]}}
        case OptionType():
            some, none = _json_variant("some", _json_type(kind.inner)), _json_variant("none", _json_fields_unit())
            return {"Sum": {"variants": [some, none]}}
        case ArrayType():
            return {"Array": _json_type(kind.inner)}
        case ProductType():
            return {"Product": _json_fields(kind.fields)}


def _json_variant(name: str, kind: Json) -> Json:
    return {"name": {"some": name}, "algebraic_type": kind}


def _json_fields_unit() -> Json:
    return {"Product": {"elements": []}}


# ---- bindings


@cache
def bindings() -> str:
    """A JavaScript module over npm `spacetimedb`: `DbConnection`, `tables`, `reducers`."""
    enums: dict[str, str] = {}
    tables = "\n".join(_table_lines(table, enums) for table in TABLES_SEEN.values())
    reducers = "\n".join(
        f"  __reducerSchema({_quoted(reducer.name)}, {_object(reducer.columns, enums)}),"
        for reducer in REDUCERS.values()
    )
    made = "\n".join(enums.values())
    return f"""// Bindings of Spaces for npm spacetimedb 2.x, written by the server. They are its tables and reducers as of now.
import {{
  DbConnectionBuilder, DbConnectionImpl, SubscriptionBuilderImpl, convertToAccessorMap, makeQueryBuilder,
  procedureSchema, procedures as __procedures, reducerSchema as __reducerSchema, reducers as __reducers,
  schema as __schema, t as __t, table as __table,
}} from 'spacetimedb';

{made}
const tablesSchema = __schema({{
{tables}
}});
const reducersSchema = __reducers(
{reducers}
);
const proceduresSchema = __procedures();
const REMOTE_MODULE = {{
  versionInfo: {{ cliVersion: {_quoted(CLIENT_VERSION)} }},
  tables: tablesSchema.schemaType.tables,
  reducers: reducersSchema.reducersType.reducers,
  ...proceduresSchema,
}};
export const tables = makeQueryBuilder(tablesSchema.schemaType);
export const reducers = convertToAccessorMap(reducersSchema.reducersType.reducers);
export class SubscriptionBuilder extends SubscriptionBuilderImpl {{}}
export class DbConnection extends DbConnectionImpl {{
  static builder = () => new DbConnectionBuilder(REMOTE_MODULE, (config) => new DbConnection(config));
  subscriptionBuilder = () => new SubscriptionBuilder(this);
}}
"""


def _table_lines(table: Table, enums: dict[str, str]) -> str:
    only_key = table.key[0] if len(table.key) == 1 else None
    columns = ", ".join(
        f"{_camel(name)}: {_js_type(kind, enums)}{'.primaryKey()' if name == only_key else ''}.name({_quoted(name)})"
        for name, kind in table.columns
    )
    return f"  {table.name}: __table({{ name: {_quoted(table.name)} }}, __t.row({{ {columns} }})),"


def _object(columns: tuple[tuple[str, Type], ...] | tuple[Column, ...], enums: dict[str, str]) -> str:
    return "{ " + ", ".join(f"{_camel(name)}: {_js_type(kind, enums)}" for name, kind in columns) + " }"


def _js_type(kind: Type, enums: dict[str, str]) -> str:
    match kind:
        case IntType():
            return f"__t.{kind.name.lower()}()"
        case BoolType():
            return "__t.bool()"
        case TextType():
            return "__t.string()"
        case IdentityType():
            return "__t.identity()"
        case TimestampType():
            return "__t.timestamp()"
        case EnumType():
            variants = ", ".join(f"{name}: __t.unit()" for name in kind.variants)
            enums[kind.name] = f"export const {kind.name} = __t.enum({_quoted(kind.name)}, {{ {variants} }});"
            return kind.name
        case OptionType():
            return f"__t.option({_js_type(kind.inner, enums)})"
        case ArrayType():
            return f"__t.array({_js_type(kind.inner, enums)})"
        case ProductType():
            made = f"export const {kind.name} = __t.object({_quoted(kind.name)}, {_object(kind.fields, enums)});"
            enums[kind.name] = made
            return kind.name


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()

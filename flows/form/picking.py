"""Pick a few fields of the settings for Prefect's form, in the JSON schema that its UI draws.

The UI draws an `anyOf` as tabs, but says of a wrong value only that it fits none of them. So the
tabs here hold what is drawn, and an `if` beside them checks the one whose kind was chosen: then the
form says at the field itself what is wrong.
"""

from __future__ import annotations

from typing import Any

from agent_r.settings import Settings

Schema = dict[str, Any]
# What is drawn of a field; the rest of its schema is checked.
_DRAWN = {"title", "description", "type", "default", "enum", "const", "items"}


def picked(settings: type[Settings], *names: str, title: str = "", **changes: Schema) -> Schema:
    """These fields of a settings class as an object, with changes to a field's own schema.

    A change with a type takes its place.
    """
    whole = settings.model_json_schema()
    fields = {}
    for name in names:
        change = changes.get(name, {})
        own = {} if "type" in change else whole["properties"][name]
        fields[name] = own | {"title": name} | change
    if "kind" in fields:  # a person who chooses it reads there what it is
        fields["kind"]["description"] = whole["description"]
    for field in fields.values():  # the newer UI draws no Markdown
        field["description"] = " ".join(field["description"].replace("`", "").split())
    needed = [name for name in names if "default" not in fields[name]]
    for name in needed:
        if fields[name]["type"] == "string" and not fields[name].keys() & {"enum", "pattern"}:
            fields[name] |= {"minLength": 1}
    return {
        "title": title or settings.__name__,
        "type": "object",
        "properties": fields,
        "required": needed,
    }


def blank(fields: Schema) -> Schema:
    """The same without defaults, and none needed: an empty field is as the settings say."""
    properties = {
        name: {key: value for key, value in field.items() if key != "default"}
        for name, field in fields["properties"].items()
    }
    return fields | {"properties": properties, "required": []}


def beside(*objects: Schema) -> Schema:
    """The fields of several objects as those of one."""
    fields = {name: field for each in objects for name, field in each["properties"].items()}
    return {"type": "object", "properties": fields}


def tabs(*kinds: Schema, none: str) -> Schema:
    """One tab for each kind, and before them one for none, which has this title."""
    drawn = [{"type": "null", "title": none}, *(_drawn(kind) for kind in kinds)]
    checked: Schema = {}
    for kind in reversed(kinds):
        chosen = {"kind": {"const": kind["properties"]["kind"]["const"]}}
        this = {"type": "object", "required": ["kind"], "properties": chosen}
        checked = {"if": this, "then": kind, "else": checked}
    return {"anyOf": drawn, "default": None} | checked


def _drawn(kind: Schema) -> Schema:
    """A tab: its fields without what a value must keep, each there from the start.

    The UI finds out by the names of the values which tab they belong to.
    """
    fields = {}
    for name, field in kind["properties"].items():
        fields[name] = {key: value for key, value in field.items() if key in _DRAWN}
        if "const" in field:  # one UI lets a person write over a constant, the other comments on it
            fields[name] |= {"enum": [fields[name].pop("const")]}
        elif field.get("type") == "string" and "enum" not in field:
            fields[name].setdefault("default", "")
    return {**kind, "properties": fields, "required": ["kind", *kind["required"]]}

"""The JSON Schema of a study file, for editors that complete and check TOML."""

from __future__ import annotations

import copy
from typing import Any, Final

from flows.key_meaning import description_of, schema_conditions
from flows.study_model import Study
from flows.study_scenarios import NOT_OVERRIDDEN, OVERRIDDEN_BY_NAME
from flows.study_sections import all_sections

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
PARTIAL: Final = "Changed"
"""Begins the name of a section's schema in a scenario: the same keys, none of them required."""


def study_schema() -> dict[str, Any]:
    """Return the schema: sections, keys, units in the names, bounds, choices and defaults.

    Keys that have no meaning beside what a section chooses, or that are missing then, are
    conditions of its schema: those of `flows.key_meaning`.
    """
    schema = Study.model_json_schema()
    definitions: dict[str, Any] = schema["$defs"]
    for _, section, _ in all_sections():
        for key, field in section.model_fields.items():
            definitions[section.__name__]["properties"][key]["description"] = description_of(field)
    for name in list(definitions):
        changed = _changed(copy.deepcopy(definitions[name]))
        definitions[PARTIAL + name] = changed
    for _, section, _ in all_sections():
        for name, changes in ((section.__name__, False), (PARTIAL + section.__name__, True)):
            if name in definitions and (rules := schema_conditions(section, changes=changes)):
                definitions[name]["allOf"] = rules
    sections = {k: v for k, v in schema["properties"].items() if k not in NOT_OVERRIDDEN}
    scenario = definitions["Scenario"]["properties"]
    for name, section in sections.items():
        own = _changed(copy.deepcopy(section))
        if name in OVERRIDDEN_BY_NAME:
            own = {
                "type": "object",
                "description": f"by name: {section['description']}",
                "additionalProperties": own["items"],
            }
        own.pop("default", None)
        scenario[name] = own
    definitions["Scenario"]["additionalProperties"] = False
    return {"$schema": DIALECT, **schema, "title": "pp-p2p study file"}


def _changed(schema: Any) -> Any:
    """Return `schema` with nothing required, and its references to sections changed alike."""
    if isinstance(schema, list):
        return [_changed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {k: _changed(v) for k, v in schema.items() if k != "required"}
    reference = found.get("$ref")
    if isinstance(reference, str):
        found["$ref"] = reference.replace("#/$defs/", f"#/$defs/{PARTIAL}")
    return found

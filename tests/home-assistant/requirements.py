#!/usr/bin/env python3
"""Prints what the parts of Home Assistant that check.py uses need besides Home Assistant itself, one a line."""

import json
import pathlib

import homeassistant.components

FOLDER = pathlib.Path(homeassistant.components.__file__).parent
USED = ["api", "auth", "config", "energy", "frontend", "homeassistant", "http", "mqtt", "onboarding", "recorder",
        "websocket_api"]
# Imported without being named.
ALSO = ["josepy<2", "numpy"]


def main():
    names, seen, requirements = list(USED), set(), set(ALSO)
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        manifest = json.loads((FOLDER / name / "manifest.json").read_text())
        requirements.update(manifest.get("requirements", []))
        names += manifest.get("dependencies", [])
    print("\n".join(sorted(requirements)))


if __name__ == "__main__":
    main()

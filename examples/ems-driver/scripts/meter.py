#!/usr/bin/env python3
"""A plug-in for twcmanager: one JSON object a line on standard output, all powers in watts.

    "sources": {"Exec": {"enabled": true, "command": "/path/to/meter.py", "args": ["/run/meter.txt"]}}

Grid import and battery discharge are positive; leave out what you do not know. Errors go to standard error.
"""
import json
import sys
import time

path = sys.argv[1] if len(sys.argv) > 1 else "/run/meter.txt"
while True:
    try:
        with open(path) as file:
            grid = float(file.read())
        # flush: a line that waits in a buffer is a reading that comes too late
        print(json.dumps({"grid_w": grid}), flush=True)
    except (OSError, ValueError) as error:
        print(f"{path}: {error}", file=sys.stderr, flush=True)
    time.sleep(5)

#!/usr/bin/env python3
"""Checks our MQTT discovery against a running Home Assistant. See README.md beside this file.

Run it with the Python that has Home Assistant installed. It starts mosquitto, Home Assistant and twcmanager with its
simulated connector, all on loopback and in a temporary folder, and ends them again.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import aiohttp
from homeassistant.const import __version__ as HA_VERSION

PATIENCE = 120
BY_DEVICE = tuple(int(part) for part in HA_VERSION.split(".")[:2]) >= (2024, 11)
failures = []


def check(holds, what):
    print(("ok      " if holds else "FAILED  ") + what, flush=True)
    if not holds:
        failures.append(what)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def process(arguments, log, **options):
    with open(log, "wb") as out:
        child = subprocess.Popen(arguments, stdout=out, stderr=subprocess.STDOUT, **options)
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


async def until(probe, what, patience=PATIENCE):
    """Waits until probe() gives something true."""
    deadline = time.monotonic() + patience
    while True:
        try:
            result = await probe()
            if result:
                return result
        except (aiohttp.ClientError, ConnectionError):
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        await asyncio.sleep(0.3)


class Assistant:
    """Home Assistant's REST and WebSocket interfaces."""

    def __init__(self, session, port):
        self.session, self.url, self.number, self.socket = session, f"http://127.0.0.1:{port}", 0, None

    async def ask(self, method, path, **options):
        async with self.session.request(method, self.url + path, **options) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise aiohttp.ClientError(f"{method} {path}: {answer.status} {text}")
            return json.loads(text) if text else None

    async def onboard(self):
        client = self.url + "/"
        user = {"client_id": client, "name": "Check", "username": "check", "password": "check", "language": "en"}
        made = await until(lambda: self.ask("POST", "/api/onboarding/users", json=user), "onboarding")
        form = {"grant_type": "authorization_code", "code": made["auth_code"], "client_id": client}
        token = (await self.ask("POST", "/auth/token", data=form))["access_token"]
        self.session.headers["Authorization"] = f"Bearer {token}"
        self.socket = await self.session.ws_connect(self.url + "/api/websocket", max_msg_size=0)
        await self.socket.receive_json()
        await self.socket.send_json({"type": "auth", "access_token": token})
        assert (await self.socket.receive_json())["type"] == "auth_ok"

    async def command(self, kind, **options):
        self.number += 1
        await self.socket.send_json({"id": self.number, "type": kind, **options})
        while True:
            answer = await self.socket.receive_json()
            if answer.get("id") == self.number and answer.get("type") == "result":
                if not answer["success"]:
                    raise aiohttp.ClientError(f"{kind}: {answer['error']}")
                return answer["result"]

    async def add_broker(self, port):
        flow = await self.ask("POST", "/api/config/config_entries/flow", json={"handler": "mqtt"})
        data = {"broker": "127.0.0.1", "port": port}
        result = await self.ask("POST", f"/api/config/config_entries/flow/{flow['flow_id']}", json=data)
        assert result["type"] == "create_entry", result

    async def entities(self):
        """Ours, by unique id."""
        entries = await self.command("config/entity_registry/list")
        if any("unique_id" not in entry for entry in entries):
            ids = [entry["entity_id"] for entry in entries]
            full = await self.command("config/entity_registry/get_entries", entity_ids=ids)
            entries = [entry for entry in full.values() if entry]
        return {e["unique_id"]: e for e in entries if str(e["unique_id"]).startswith("twcmanager_")}

    async def state(self, entity_id):
        try:
            return (await self.ask("GET", f"/api/states/{entity_id}"))
        except aiohttp.ClientError:
            return None

    async def call(self, domain, service, **data):
        await self.ask("POST", f"/api/services/{domain}/{service}", json=data)


def publish(broker, topic, payload):
    command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker), "-t", topic, "-r", "-m", payload]
    subprocess.run(command, check=True)


def retained(broker, topic):
    command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(broker), "-t", topic, "-W", "2", "-F", "%t %p"]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in lines if " " in line}


def twcmanager_config(folder, broker):
    mqtt = {"enabled": True, "brokerIP": "127.0.0.1", "brokerPort": broker, "topicPrefix": "TWC"}
    return {
        "config": {"settingsPath": str(folder), "wiringMaxAmpsAllTWCs": 32, "wiringMaxAmpsPerTWC": 32,
                   "minAmpsPerTWC": 6, "defaultVoltage": 230, "numberOfPhases": 1, "fakeMaster": 1},
        "interface": {"RS485": {"enabled": False}, "Dummy": {"enabled": True, "twcID": "AB"}},
        "control": {"MQTT": mqtt},
        "status": {"MQTT": {**mqtt, "ratelimit": 2, "homeassistantDiscovery": True,
                            "discoveryFormat": "device" if BY_DEVICE else "single"}},
        "sources": {},
    }


# As TWCManager 1.3.3 and later announce it.
OLD_TOPIC = "homeassistant/sensor/TWC_4142/4142_amps_in_use/config"
OLD_CONFIG = {
    "name": "Amps in use", "unique_id": "twcmanager_TWC_4142_amps_in_use", "state_topic": "TWC/4142/ampsInUse",
    "device": {"identifiers": ["twcmanager_TWC_4142"], "manufacturer": "Open Source", "model": "TWCManager",
               "name": "TWC 4142"},
    "unit_of_measurement": "A", "device_class": "current", "state_class": "measurement",
}


async def run(options, folder):
    broker, port = free_port(), free_port()
    (folder / "mosquitto.conf").write_text(
        f"listener {broker} 127.0.0.1\nallow_anonymous true\npersistence false\nuser {options.mosquitto_user}\n")
    home = folder / "ha"
    home.mkdir()
    (home / "configuration.yaml").write_text(
        f"http:\n  server_host: 127.0.0.1\n  server_port: {port}\n"
        "api:\nwebsocket_api:\nauth:\nonboarding:\nconfig:\nrecorder:\nenergy:\n"
        "logger:\n  default: warning\n  logs:\n    homeassistant.components.mqtt: info\n")
    with contextlib.ExitStack() as stack:
        stack.enter_context(process([options.mosquitto, "-c", folder / "mosquitto.conf"], folder / "mosquitto.log"))
        ha = [sys.executable, "-m", "homeassistant", "-c", home, "--skip-pip"]
        stack.enter_context(process(ha, folder / "ha.log"))
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))
        assistant = Assistant(session, port)
        await assistant.onboard()
        publish(broker, OLD_TOPIC, json.dumps(OLD_CONFIG))
        await assistant.add_broker(broker)
        old = await until(lambda: one(assistant, OLD_CONFIG["unique_id"]), "the entity of TWCManager")
        await assistant.command("config/entity_registry/update", entity_id=old["entity_id"],
                                new_entity_id="sensor.my_own_name")

        config = folder / "config.json"
        config.write_text(json.dumps(twcmanager_config(folder, broker)))
        ours = subprocess.Popen([options.twcmanager, "run", "--config", config],
                                stdout=open(folder / "twcmanager.log", "wb"), stderr=subprocess.STDOUT)
        try:
            await judge(assistant, broker)
        finally:
            ours.terminate()
            ours.wait(30)
        await gone(assistant)
        await session.close()
    log = (folder / "ha.log").read_text(errors="replace")
    if (home / "home-assistant.log").exists():
        log += (home / "home-assistant.log").read_text(errors="replace")
    bad = [line for line in log.splitlines() if ("WARNING" in line or "ERROR" in line) and "mqtt" in line.lower()]
    check(not bad, "Home Assistant's log has no complaint about MQTT" + "".join("\n          " + b for b in bad))


async def one(assistant, unique_id):
    return (await assistant.entities()).get(unique_id)


async def judge(assistant, broker):
    await until(lambda: one(assistant, "twcmanager_TWC_4142_lifetime_kwh"), "the connector")
    await asyncio.sleep(8)
    entities = await assistant.entities()

    announced = {}
    for payload in retained(broker, "homeassistant/#").values():
        message = json.loads(payload)
        for component in message.get("components", {"": message}).values():
            if "unique_id" in component:
                announced[component["unique_id"]] = component
    check(len(announced) > 45, f"{len(announced)} entities are announced")
    check(set(announced) == set(entities), f"all of them exist; amiss: {set(announced) ^ set(entities)}")
    if BY_DEVICE:
        check(OLD_TOPIC not in retained(broker, OLD_TOPIC), "the announcement of TWCManager is taken away")
    moved = entities.get(OLD_CONFIG["unique_id"], {})
    check(moved.get("entity_id") == "sensor.my_own_name", "the user's name of an old entity stays")

    devices = {tuple(d["identifiers"][0]): d for d in await assistant.command("config/device_registry/list")
               if d["identifiers"] and str(d["identifiers"][0][1]).startswith("twcmanager_")}
    site = devices.get(("mqtt", "twcmanager_TWC_all"))
    point = devices.get(("mqtt", "twcmanager_TWC_4142"))
    check(set(devices) == {("mqtt", "twcmanager_TWC_all"), ("mqtt", "twcmanager_TWC_4142")}, "two devices, no other")
    check(bool(site and point) and point["via_device_id"] == site["id"], "the connector belongs to the site")

    def entity(key):
        return entities[f"twcmanager_TWC_{key}"]["entity_id"]

    for unique_id, entry in sorted(entities.items()):
        is_hidden = announced.get(unique_id, {}).get("enabled_by_default") is False
        if is_hidden:
            check(entry["disabled_by"] == "integration", f"{entry['entity_id']} is off until wanted")
            continue
        state = await assistant.state(entry["entity_id"])
        check(state is not None and state["state"] != "unavailable", f"{entry['entity_id']} is {state and state['state']}")

    for key in ("4142_lifetime_kwh", "4142_session_energy_kwh"):
        attributes = (await assistant.state(entity(key)))["attributes"]
        classes = (attributes.get("device_class"), attributes.get("state_class"), attributes.get("unit_of_measurement"))
        check(classes == ("energy", "total_increasing", "kWh"), f"{key} is fit for the Energy dashboard")
    preferences = {"energy_sources": [], "device_consumption": [{"stat_consumption": entity("4142_lifetime_kwh")}]}
    await assistant.command("energy/save_prefs", **preferences)
    issues = (await assistant.command("energy/validate"))["device_consumption"]
    # Statistics are made every five minutes; that there are none yet is no fault of ours.
    issues = [i for group in issues for i in (group.get("issues", group) if isinstance(group, dict) else group)
              if not str(i.get("type") if isinstance(i, dict) else i).startswith("statistics_not_defined")]
    check(not issues, f"the Energy dashboard takes the counter: {issues}")

    def same(state, wanted):
        try:
            return float(state) == float(wanted)
        except ValueError:
            return state == wanted

    async def becomes(key, wanted, patience=10):
        async def probe():
            state = await assistant.state(entity(key))
            return state and same(state["state"], wanted)
        try:
            await until(probe, key, patience)
            check(True, f"{key} becomes {wanted}")
        except TimeoutError:
            check(False, f"{key} becomes {wanted}, not {(await assistant.state(entity(key)))['state']}")

    await assistant.call("select", "select_option", entity_id=entity("all_mode"), option="Do not charge")
    await becomes("all_mode", "Do not charge")
    await assistant.call("number", "set_value", entity_id=entity("all_charge_now_amps"), value=13)
    await becomes("all_charge_now_amps", "13")
    await assistant.call("number", "set_value", entity_id=entity("all_charge_now_minutes"), value=30)
    await becomes("all_charge_now_minutes", "30")
    await assistant.call("button", "press", entity_id=entity("all_charge_now"))
    await becomes("all_mode", "Charge now")
    await becomes("4142_charging", "on", 60)
    await assistant.call("button", "press", entity_id=entity("all_charge_now_end"))
    await becomes("all_mode", "Do not charge")
    await assistant.call("number", "set_value", entity_id=entity("all_non_scheduled_amps_max"), value=11)
    await becomes("all_non_scheduled_amps_max", "11")
    await assistant.call("switch", "turn_on", entity_id=entity("all_schedule"))
    await becomes("all_schedule", "off")
    await assistant.call("switch", "turn_off", entity_id=entity("4142_enabled"))
    await becomes("4142_enabled", "off")
    await assistant.call("number", "set_value", entity_id=entity("4142_priority"), value=-7)
    await becomes("4142_priority", "-7")
    await becomes("4142_plugged_in", "on")


async def gone(assistant):
    entities = await assistant.entities()
    mode = entities["twcmanager_TWC_all_mode"]["entity_id"]

    async def probe():
        return (await assistant.state(mode))["state"] == "unavailable"

    await until(probe, "unavailable", 20)
    check(True, "all is unavailable once the program has ended")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    root = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("--twcmanager", default=root / "target/debug/twcmanager")
    parser.add_argument("--mosquitto", default="/usr/sbin/mosquitto")
    parser.add_argument("--mosquitto-user", default="root" if os.getuid() == 0 else "mosquitto")
    options = parser.parse_args()
    print(f"Home Assistant {HA_VERSION}, a message for each {'device' if BY_DEVICE else 'entity'}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ha-check-") as folder:
        folder = pathlib.Path(folder)
        try:
            asyncio.run(run(options, folder))
        except Exception:  # pylint: disable=broad-except
            for log in ("twcmanager.log", "ha.log"):
                if (folder / log).exists():
                    print(f"--- {log}\n" + (folder / log).read_text(errors="replace")[-5000:])
            raise
    print(f"{len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

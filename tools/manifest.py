#!/usr/bin/env python3
"""Checks a system's TOML and makes the manifest blob of include/abi/manifest.h. docs/manifest.md describes the keys.

usage: manifest.py SYSTEM.toml [-o BLOB] [--images 'name ...']
       manifest.py --composed SYSTEM.toml ...    prints SYSTEM:IMAGE for each image of several components
Every error is one sentence with names and values; tests/manifest/ holds one tiny bad file for each.
"""
import argparse
import difflib
import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from abi import Abi  # noqa: E402

ABI = Abi("layout.h", "info.h", "manifest.h", "call.h")
HEADER = ABI.struct("manifest_header")
RECORD = ABI.struct("manifest_service")
PAGE = ABI["PAGE_SIZE"]
NAME_MAX = ABI["NAME_SIZE"] - 1
CORE_MAX = ABI["CORE_MAX"]
PRIORITY_MAX = 7
BURST_MAX = 1_000_000
TIME_MAX_MS = 3_600_000
STACK_MAX = 16 << 20
MEMORY_MAX = 4 << 30
DEVICES = {"uart": ABI["DEVICE_UART"], "block": ABI["DEVICE_BLOCK"], "network": ABI["DEVICE_NETWORK"],
           "random": ABI["DEVICE_RANDOM"]}
THEN = {"hold": ABI["THEN_HOLD"], "escalate": ABI["THEN_ESCALATE"]}
CLASSES = {"plain": 0, "library-os": ABI["SERVICE_FLAG_LIBRARY_OS"]}
ANY = "*"

TOP_KEYS = ("name", "core_weights", "service")
SERVICE_KEYS = ("name", "image", "alternative", "first", "app", "autostart", "core", "priority", "memory", "stack",
                "device", "dma", "class", "guest_file", "serves", "uses", "argument", "restart", "watch", "budget", "place")
RESTART_KEYS = ("burst", "window_ms", "delay_ms", "delay_max_ms", "then")
WATCH_KEYS = ("hang_ms", "request_ms")
BUDGET_KEYS = ("us", "period_us")
PLACE_KEYS = ("core", "same_core", "same_domain")
# What a domain has once: said by the service whose domain it is, not by one that is placed in it.
DOMAIN_KEYS = ("alternative", "first", "app", "autostart", "core", "priority", "stack", "class", "guest_file", "restart",
               "watch", "budget")
SERVERS = Path(__file__).resolve().parent.parent / "servers"

# What a service gets that does not say it. Burst: more than one restart in 5 s is no accident; hang: a server answers
# within microseconds, 100 ms is a busy host; request: a disk may take seconds.
RESTART_DEFAULT = {"burst": 10, "window_ms": 5000, "delay_ms": 1, "delay_max_ms": 1000, "then": "hold"}
WATCH_DEFAULT = {"hang_ms": 100, "request_ms": 5000}
BUDGET_DEFAULT = {"us": 0, "period_us": 10000}


class ManifestError(Exception):
    pass


def fail(sentence):
    raise ManifestError(sentence)


def check_keys(where, table, known):
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.5)
            fail(f"{where} has the unknown key '{key}'" + (f"; did you mean '{near[0]}'?" if near else
                 f"; known are {', '.join(known)}"))


def check_type(where, key, value, kind, word):
    if not isinstance(value, kind) or isinstance(value, bool) and kind is not bool:
        fail(f"{where}: {key} must be {word}, not {value!r}")
    return value


def check_number(where, key, value, low, high):
    check_type(where, key, value, int, "a number")
    if not low <= value <= high:
        fail(f"{where}: {key} = {value} is out of range; it must be {low} to {high}")
    return value


def check_name(what, name, room=NAME_MAX):
    if not isinstance(name, str) or not name:
        fail(f"{what} must be a non-empty string, not {name!r}")
    if len(name.encode()) > room:
        fail(f"{what} '{name}' has {len(name.encode())} bytes; at most {room} are allowed")
    bad = [c for c in name if not (c.isascii() and (c.isalnum() or c in "-_."))]
    if bad:
        fail(f"{what} '{name}' holds {bad[0]!r}; letters, digits, '-', '_' and '.' are allowed")
    return name


def read_size(where, key, text, high):
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    if not (isinstance(text, str) and text[:-1].isdigit() and text[-1] in units):
        fail(f"{where}: {key} = {text!r} is no size; write a number with K, M or G, such as \"4M\"")
    size = int(text[:-1]) * units[text[-1]]
    if size == 0 or size % PAGE:
        fail(f"{where}: {key} = \"{text}\" is not a positive multiple of the page size of {PAGE} bytes")
    if size > high:
        fail(f"{where}: {key} = \"{text}\" is more than the {high >> 20}M that are allowed")
    return size // PAGE


def read_core(where, value):
    if value == "any":
        return ABI["CORE_ANY"]
    check_type(where, "core", value, int, f"0 to {CORE_MAX - 1}, or \"any\"")
    if not 0 <= value < CORE_MAX:
        fail(f"{where}: core {value} is out of range; it must be 0 to {CORE_MAX - 1}, or \"any\"")
    return value


def read_place(where, table):
    """{core, beside_name, host_name}: on whose core, in whose domain; `core` alone is short for place = { core = }."""
    place = check_type(where, "place", table.get("place", {}), dict, "a table")
    check_keys(f"{where}: place", place, PLACE_KEYS)
    if len(place) + ("core" in table) > 1:
        fail(f"{where} is placed twice: {', '.join([f'place.{key}' for key in place] + ['core'] * ('core' in table))}")
    other = {key: check_name(f"{where}: place.{key}", place[key]) if key in place else None
             for key in ("same_core", "same_domain")}
    return {"core": read_core(where, place.get("core", table.get("core", "any"))), "beside_name": other["same_core"],
            "host_name": other["same_domain"]}


def read_device(where, text):
    """"block" or "block 1": a class, and the n-th of it that the machine has."""
    words = text.split() if isinstance(text, str) else []
    if not 1 <= len(words) <= 2 or words[0] not in DEVICES or len(words) == 2 and not words[1].isdigit():
        fail(f"{where}: device {text!r} is unknown; write {', '.join(DEVICES)}, with a number for the n-th of its "
             f"class, such as \"block 1\"")
    index = int(words[1]) if len(words) == 2 else 0
    return DEVICES[words[0]], check_number(where, "the device's number", index, 0, 31), f"{words[0]} {index}"


def read_names(where, key, names, limit):
    check_type(where, key, names, list, "a list of names")
    if len(names) > limit:
        fail(f"{where} {key} {len(names)} names; at most {limit} are allowed")
    for name in names:
        if name != ANY or key != "uses":
            check_name(f"{where}: a name in {key}", name)
    for name in names:
        if names.count(name) > 1:
            fail(f"{where} {key} '{name}' twice")
    return list(names)


def read_restart(where, table):
    check_type(where, "restart", table, dict, "a table")
    check_keys(f"{where}: restart", table, RESTART_KEYS)
    rule = {**RESTART_DEFAULT, **table}
    check_number(where, "restart.burst", rule["burst"], 0, BURST_MAX)
    for key in ("window_ms", "delay_ms", "delay_max_ms"):
        check_number(where, f"restart.{key}", rule[key], 0, TIME_MAX_MS)
    if rule["burst"] and not rule["window_ms"]:
        fail(f"{where}: restart.window_ms must be above 0 when restart.burst is {rule['burst']}")
    if rule["delay_max_ms"] < rule["delay_ms"]:
        fail(f"{where}: restart.delay_max_ms = {rule['delay_max_ms']} is less than restart.delay_ms = "
             f"{rule['delay_ms']}")
    if rule["then"] not in THEN:
        fail(f"{where}: restart.then = {rule['then']!r} is unknown; it must be {' or '.join(THEN)}")
    return {**rule, "then": THEN[rule["then"]]}


def read_watch(where, table):
    check_type(where, "watch", table, dict, "a table")
    check_keys(f"{where}: watch", table, WATCH_KEYS)
    watch = {**WATCH_DEFAULT, **table}
    for key in WATCH_KEYS:
        check_number(where, f"watch.{key}", watch[key], 0, TIME_MAX_MS)
    return watch


def read_budget(where, table):
    check_type(where, "budget", table, dict, "a table")
    check_keys(f"{where}: budget", table, BUDGET_KEYS)
    budget = {**BUDGET_DEFAULT, **table}
    check_number(where, "budget.period_us", budget["period_us"], 1, ABI["BUDGET_PERIOD_US"])
    if budget["us"]:
        check_number(where, "budget.us", budget["us"], ABI["BUDGET_LEAST_US"], budget["period_us"])
    return {f"budget_{key}": value for key, value in budget.items()}


def read_class(where, table, flag):
    """What runs programs of its own is none whose device, or whose death, concerns others."""
    name = table.get("class", "plain")
    if name not in CLASSES:
        fail(f"{where}: class = {name!r} is unknown; it must be {' or '.join(CLASSES)}")
    kept = [key for key in ("first", "dma") if flag[key]] + ["device"] * ("device" in table)
    if CLASSES[name] and kept:
        fail(f"{where} has class = \"{name}\" and {kept[0]}; only plain domains have that")
    return CLASSES[name]


def read_flags(where, table):
    flag = {key: check_type(where, key, table.get(key, default), bool, "true or false")
            for key, default in (("first", False), ("app", False), ("dma", False), ("guest_file", True),
                                 ("autostart", not table.get("app", False)))}
    if flag["first"] and flag["app"]:
        fail(f"{where} cannot be both first and an app")
    bits = {"first": "SERVICE_FLAG_FIRST", "app": "SERVICE_FLAG_APP", "dma": "SERVICE_FLAG_DMA",
            "autostart": "SERVICE_FLAG_AUTOSTART"}
    flags = sum(ABI[bit] for key, bit in bits.items() if flag[key]) | read_class(where, table, flag)
    return flags | (0 if flag["guest_file"] else ABI["SERVICE_FLAG_NO_FILE"])


def read_service(number, table, images):
    if "name" not in table:
        fail(f"service number {number} has no name")
    name = check_name("service name", table["name"])
    where = f"service '{name}'"
    check_keys(where, table, SERVICE_KEYS)
    service = {"name": name, "flags": read_flags(where, table)}
    service["image"] = check_image(where, "image", table.get("image", name), images)
    service["alternative"] = check_image(where, "alternative", table["alternative"], images) \
        if "alternative" in table else ""
    service.update(read_place(where, table))
    service["mates"], service["mate_component"] = [], []
    if service["host_name"] is not None:
        for key in [key for key in DOMAIN_KEYS if key in table]:
            fail(f"{where} is placed in the domain of '{service['host_name']}', which alone says '{key}'")
    service["priority"] = check_number(where, "priority", table.get("priority", 4), 0, PRIORITY_MAX)
    service["memory_pages"] = read_size(where, "memory", table.get("memory", "4M"), MEMORY_MAX)
    service["stack_pages"] = read_size(where, "stack", table.get("stack", "64K"), STACK_MAX)
    if service["stack_pages"] >= service["memory_pages"]:
        fail(f"{where}: stack \"{table.get('stack', '64K')}\" leaves nothing of memory "
             f"\"{table.get('memory', '4M')}\"")
    if "device" in table:
        service["device"], service["device_index"], service["device_text"] = read_device(where, table["device"])
    service["serves"] = read_names(where, "serves", table.get("serves", []), ABI["MANIFEST_SERVES_MAX"])
    service["uses"] = read_names(where, "uses", table.get("uses", []), ABI["MANIFEST_USES_MAX"])
    service["argument"] = check_type(where, "argument", table.get("argument", ""), str, "a string")
    if len(service["argument"].encode()) >= ABI["MANIFEST_ARGUMENT_SIZE"]:
        fail(f"{where}: argument has {len(service['argument'].encode())} bytes; at most "
             f"{ABI['MANIFEST_ARGUMENT_SIZE'] - 1} are allowed")
    service.update(read_restart(where, table.get("restart", {})))
    service.update(read_watch(where, table.get("watch", {})))
    service.update(read_budget(where, table.get("budget", {})))
    return service


def check_image(where, key, image, images):
    check_name(f"{where}: {key}", image)
    if images is not None and image not in images:
        near = difflib.get_close_matches(image, images, 1, 0.5)
        fail(f"{where}: {key} '{image}' is not built" + (f"; did you mean '{near[0]}'?" if near else
             f"; there are {', '.join(sorted(images))}"))
    return image


def check_unique(services):
    names, served, devices = set(), {}, {}
    for service in services:
        if service["name"] in names:
            fail(f"service '{service['name']}' is defined twice")
        names.add(service["name"])
        for name in service["serves"]:
            if name in served:
                fail(f"'{name}' is served by both '{served[name]}' and '{service['name']}'")
            served[name] = service["name"]
        device = service.get("device_text")
        if device in devices and device:
            fail(f"device '{device}' is given to both '{devices[device]}' and '{service['name']}'")
        devices[device] = service["name"]
    return served


def check_uses(services, served):
    for service in services:
        for name in service["uses"]:
            if name == ANY:
                if not service["flags"] & ABI["SERVICE_FLAG_APP"]:
                    fail(f"service '{service['name']}' uses '*', which only apps may")
            elif name not in served:
                near = difflib.get_close_matches(name, served, 1, 0.5)
                fail(f"service '{service['name']}' uses '{name}', which no service serves"
                     + (f"; did you mean '{near[0]}'?" if near else ""))


def check_cycles(services, served):
    below = {s["name"]: [served[n] for n in s["uses"] if n != ANY] for s in services}
    done = set()

    def visit(name, path):
        if name in path:
            fail("these services use each other in a cycle: " + " -> ".join(path[path.index(name):] + [name]))
        if name not in done:
            for other in below[name]:
                visit(other, path + [name])
            done.add(name)

    for service in services:
        visit(service["name"], [])


def check_mates(services, served):
    """What a service serves that is placed in another's domain is there for that domain alone."""
    by_name = {service["name"]: service for service in services}

    def host_of(service):
        path = [service["name"]]
        while service["host_name"] is not None:
            if service["host_name"] not in by_name:
                near = difflib.get_close_matches(service["host_name"], by_name, 1, 0.5)
                fail(f"service '{service['name']}' is placed in the domain of '{service['host_name']}', which is no service"
                     + (f"; did you mean '{near[0]}'?" if near else ""))
            service = by_name[service["host_name"]]
            if service["name"] in path:
                fail("these services are placed in each other's domains in a circle: "
                     + " -> ".join(path + [service["name"]]))
            path.append(service["name"])
        return service["name"]

    hosts = {service["name"]: host_of(service) for service in services}
    for service in services:
        for name in service["uses"]:
            owner = by_name[served[name]] if name != ANY else service
            if owner["host_name"] is not None and hosts[owner["name"]] != hosts[service["name"]]:
                fail(f"service '{service['name']}' uses '{name}', which '{owner['name']}' serves within the domain of "
                     f"'{hosts[owner['name']]}' only")
    return hosts


def join_image(host, mate):
    """"fs" and "blk" become "fs.blk", which the build makes of the sources of both."""
    joined = f"{host['image']}.{mate['image']}"
    if not (SERVERS / mate["image"]).is_dir():
        fail(f"service '{mate['name']}': image '{mate['image']}' is no server in servers/, so it cannot be placed in the "
             f"domain of '{host['name']}'")
    if mate["image"] in host["image"].split("."):
        fail(f"service '{mate['name']}': the domain of '{host['name']}' has a component '{mate['image']}' already")
    if len(joined) > NAME_MAX:
        fail(f"service '{mate['name']}': the image '{joined}' has {len(joined)} bytes; at most {NAME_MAX} are allowed")
    return joined


def add_mate(host, mate):
    """What the mate has becomes its host's; what it serves is for the domain alone."""
    where = f"service '{mate['name']}'"
    host["image"] = join_image(host, mate)
    if not mate["serves"]:
        fail(f"{where} serves nothing, so nobody in the domain of '{host['name']}' could call it")
    if host["alternative"]:
        fail(f"{where} cannot be placed in the domain of '{host['name']}', whose alternative image holds it not")
    if "device" in mate:
        if "device" in host:
            fail(f"{where} has the device '{mate['device_text']}', but the domain of '{host['name']}' has "
                 f"'{host['device_text']}' already; it can have one")
        host.update({key: mate[key] for key in ("device", "device_index", "device_text")})
        host["device_component"] = host["image"].count(".")
    host["flags"] |= mate["flags"] & ABI["SERVICE_FLAG_DMA"]
    host["memory_pages"] += mate["memory_pages"]
    host["argument"] = " ".join(filter(None, (host["argument"], mate["argument"])))
    host["uses"] += [name for name in mate["uses"] if name not in host["uses"]]
    host["mate_component"] += [host["image"].count(".")] * len(mate["serves"])
    host["mates"] += mate["serves"]
    for value, most, what in ((host["memory_pages"] * PAGE, MEMORY_MAX, "bytes of memory"),
                              (len(host["argument"].encode()), ABI["MANIFEST_ARGUMENT_SIZE"] - 1, "bytes of argument"),
                              (len(host["mates"]), ABI["MANIFEST_MATES_MAX"], "names that it serves itself")):
        if value > most:
            fail(f"{where}: the domain of '{host['name']}' then has {value} {what}; at most {most} are allowed")


def merge_mates(services, hosts, images):
    """The services that have a domain, with what those have that are placed in it."""
    domains = {service["name"]: service for service in services if service["host_name"] is None}
    for service in services:
        if service["host_name"] is not None:
            add_mate(domains[hosts[service["name"]]], service)
    for host in domains.values():
        host["uses"] = [name for name in host["uses"] if name not in host["mates"]]
        if len(host["uses"]) > ABI["MANIFEST_USES_MAX"]:
            fail(f"the domain of '{host['name']}' uses {len(host['uses'])} names; at most {ABI['MANIFEST_USES_MAX']} are "
                 "allowed")
        if host["mates"] and images is not None and host["image"] not in images:
            fail(f"service '{host['name']}': image '{host['image']}' is not built")
        if host["beside_name"] is not None:
            host["beside_name"] = hosts.get(host["beside_name"], host["beside_name"])
    return list(domains.values())


def check_beside(services):
    """Numbers for the names of place.same_core: a chain of them ends."""
    numbers = {service["name"]: number for number, service in enumerate(services, 1)}
    for service in services:
        name = service["beside_name"]
        if name is not None and name not in numbers:
            near = difflib.get_close_matches(name, numbers, 1, 0.5)
            fail(f"service '{service['name']}' is placed on the core of '{name}', which is no service"
                 + (f"; did you mean '{near[0]}'?" if near else ""))
        service["beside"] = numbers.get(name, 0)
    for service in services:
        path = [service["name"]]
        while (name := services[numbers[path[-1]] - 1]["beside_name"]) is not None:
            if name in path:
                fail("these services are placed beside each other in a circle: " + " -> ".join(path + [name]))
            path.append(name)


def check_first(services):
    first = [s for s in services if s["flags"] & ABI["SERVICE_FLAG_FIRST"]]
    if not first:
        fail("no service has first = true; one must be the supervisor")
    if len(first) > 1:
        fail(f"both '{first[0]['name']}' and '{first[1]['name']}' have first = true; only one can be the supervisor")
    if first[0]["uses"]:
        fail(f"the first service '{first[0]['name']}' uses '{first[0]['uses'][0]}', but nothing runs before it")
    if first[0]["core"] != 0:
        fail(f"the first service '{first[0]['name']}' must be on core 0")


def read_system(path, images=None):
    """The checked system: {"name", "core_weights", "services"}; ManifestError says what is wrong."""
    try:
        system = tomllib.loads(Path(path).read_text())
    except tomllib.TOMLDecodeError as error:
        fail(f"this is no TOML: {error}")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"cannot be read: {error}")
    check_keys("the system", system, TOP_KEYS)
    name = check_name("the system's name", system.get("name", ""))
    weights = check_type("the system", "core_weights", system.get("core_weights", []), list, "a list of numbers")
    if len(weights) > CORE_MAX:
        fail(f"core_weights has {len(weights)} numbers; at most {CORE_MAX} are allowed")
    for weight in weights:
        check_number("the system", "a number in core_weights", weight, 1, 255)
    tables = check_type("the system", "service", system.get("service", []), list, "a list of [[service]] tables")
    if len(tables) > ABI["MANIFEST_SERVICE_MAX"]:
        fail(f"the system has {len(tables)} services; at most {ABI['MANIFEST_SERVICE_MAX']} are allowed")
    services = [read_service(n, table, images) for n, table in enumerate(tables, 1)]
    served = check_unique(services)
    check_first(services)
    check_uses(services, served)
    check_cycles(services, served)
    services = merge_mates(services, check_mates(services, served), images)
    check_beside(services)
    return {"name": name, "core_weights": weights, "services": services}


def make_blob(system):
    records = b""
    for service in system["services"]:
        fields = {key: value for key, value in service.items() if key in RECORD.fields}
        records += RECORD.pack(**fields, serves_count=len(service["serves"]), uses_count=len(service["uses"]),
                               mates_count=len(service["mates"]))
    header = HEADER.pack(magic=ABI["MANIFEST_MAGIC"], version=ABI["MANIFEST_VERSION"],
                         bytes=HEADER.size + len(records), service_count=len(system["services"]),
                         system=system["name"])
    return header + records


def print_composed(paths):
    """For the build, which has nothing to say about what is wrong: whoever makes the boot image has."""
    for path in paths:
        try:
            services = read_system(path)["services"]
        except ManifestError:
            continue
        for service in services:
            if service["mates"]:
                print(f"{Path(path).stem}:{service['image']}")


def main():
    parser = argparse.ArgumentParser()
    if sys.argv[1:2] == ["--composed"]:
        print_composed(sys.argv[2:])
        return 0
    parser.add_argument("system")
    parser.add_argument("-o", "--output")
    parser.add_argument("--images", help="names of the images that are built; without it images are not checked")
    arguments = parser.parse_args()
    try:
        system = read_system(arguments.system, None if arguments.images is None else arguments.images.split())
    except ManifestError as error:
        print(f"{arguments.system}: {error}", file=sys.stderr)
        return 1
    if arguments.output:
        Path(arguments.output).write_bytes(make_blob(system))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What one results.json holds: the work of one sitting, or of several that were added up.

Ratios are paired within a round, so that pieces of work may be measured hours apart: no figure
joins two sittings. Work that is measured anew replaces what was there.
"""
import datetime

KEYS = {"echo": lambda entry: entry["point"], "micro": lambda entry: entry["name"],
        "counts": lambda count: (count["point"], count["peer"])}


def fresh():
    return {"sittings": [], "echo": [], "counts": [], "memory": [], "micro": [], "failures": []}


def begin(data, machine, seed, rounds, window_ms):
    """Opens a sitting: by what, and under which circumstances, the work from now on is measured."""
    began = datetime.datetime.now(datetime.timezone.utc).isoformat("T", "seconds")
    data["machine"] = machine
    data["sittings"].append({"began": began, "seed": seed, "rounds": rounds, "window_ms": window_ms,
                             "commit": machine["commit"], "changed": machine["changed"],
                             "load_average": machine["load_average"], "work": []})


def forget(data, work):
    """Before `work` is measured: its failures of an earlier sitting, and who measured it then."""
    data["failures"][:] = [f for f in data["failures"] if f["work"].split()[0] != work]
    for sitting in data["sittings"]:
        sitting["work"] = [name for name in sitting["work"] if name != work]
    data["sittings"][:] = [s for s in data["sittings"][:-1] if s["work"]] + data["sittings"][-1:]


def put(data, work, kind, measured):
    """Takes in what was measured, a list of entries; `memory` is one piece."""
    if kind in KEYS:
        key = KEYS[kind]
        names = {key(entry) for entry in measured}
        data[kind] = [entry for entry in data[kind] if key(entry) not in names] + measured
    else:
        data[kind] = measured
    data["sittings"][-1]["work"].append(work)

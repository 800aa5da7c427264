"""What governing costs, measured side by side in one run: `make bench`, as root.

    bench.py [--json] [--rounds N]

Everything is measured on this machine as it is now, with whatever else it does, so each round visits
all situations (rig.py says which) one after the other, and what is compared are rounds, not runs.
Prints a table, and marks what misses its target; the exit code is 1 then.
"""
import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
from contextlib import ExitStack, contextmanager

from rig import CLIENTS, HERE, KEY, METERED_COST, METERED_TPM, PYTHON, SITUATIONS, Rig, load, run
from harness import BUILD, HOST, certificate, wait_for

REQUESTS = 80  # a client, a situation, a round
HIT_REQUESTS = (40, 240)
CURLS = 24  # of a single request each, a situation
FLOWS, FLOW_SECONDS = 50, 8

# name: (unit, at most)
TARGETS = {
    "decision to wire, p99": ("us", 2000),
    "probe hits a request, requests": ("", 6),
    "probe hits a request, node": ("", 6),
    "probe hits a request, curl": ("", 6),
    "sluiced, memory at its peak": ("MB", 30),
}


def quantiles(values, scale=1e6):
    """{"p50", "p99", "n"}; seconds become microseconds."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49] * scale, "p99": cuts[98] * scale, "n": len(values)}


def measure_clients(rig, rounds):
    """Latency and CPU of each client in each situation."""
    blocks = {client: {situation: [] for situation in SITUATIONS} for client in CLIENTS}
    for number in range(rounds):
        for situation in SITUATIONS if number % 2 else reversed(SITUATIONS):
            (rig.switch_off if situation == "without" else rig.switch_on)()
            for client in CLIENTS:
                blocks[client][situation].append(rig.run_client(client, situation, REQUESTS))
    return {client: {"latency_us": latency_of(of), "cpu_us": cpu_of(of)} for client, of in blocks.items()}


def latency_of(blocks):
    """Added: the median, over the rounds, of how much later than without Sluice in the same round."""
    result = {situation: quantiles([t for block in of for t in block["taken_s"]]) for situation, of in blocks.items()}
    for situation in SITUATIONS[1:]:
        pairs = [(quantiles(without["taken_s"]), quantiles(block["taken_s"]))
                 for without, block in zip(blocks["without"], blocks[situation])]
        for p in ("p50", "p99"):
            result[situation][f"added_{p}"] = statistics.median(b[p] - a[p] for a, b in pairs)
            result[situation][f"ratio_{p}"] = statistics.median(b[p] / a[p] for a, b in pairs)
    return result


def cpu_of(blocks):
    def each(situation, name):
        return statistics.median(block[name] / block["n_sent"] for block in blocks[situation]) * 1e6

    return {**{situation: each(situation, "cpu_s") for situation in SITUATIONS},
            "sluiced": each("governed", "sluiced_cpu_s"), "sluiced_beside": each("beside", "sluiced_cpu_s")}


def measure_hits(rig):
    """Probe hits per request on a connection in use: what more requests add."""
    few, many = ({client: rig.run_client(client, "governed", n) for client in CLIENTS} for n in HIT_REQUESTS)
    return {client: round((many[client]["probe_hits"] - few[client]["probe_hits"]) /
                          (many[client]["n_sent"] - few[client]["n_sent"]), 1) for client in CLIENTS}


def compile_c(folder, name):
    """A program of this folder, from NAME.c, and NAME.bpf.o from NAME.bpf.c if there is one."""
    if (kernel_side := HERE / f"{name}.bpf.c").exists():
        arch = {"x86_64": "x86", "aarch64": "arm64"}[os.uname().machine]
        run([os.environ.get("CLANG", "clang"), "-O2", "-g", "-Wall", "-target", "bpf", f"-D__TARGET_ARCH_{arch}",
             f"-I{HERE.parents[1] / 'vmlinux'}", "-c", kernel_side, "-o", folder / f"{name}.bpf.o"])
    run([os.environ.get("CC", "cc"), "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-o", folder / name,
         HERE / f"{name}.c", "-lbpf"])
    return folder / name


def measure_trap(folder):
    return json.loads(run([compile_c(folder, "trap")]))


def measure_neighbour(rig):
    tls = certificate()
    result = json.loads(run([PYTHON, HERE / "neighbour.py", "--governed", f"https://{HOST}:{rig.openai.port}/v1/models",
                             "--ca", tls / "ca.pem", "--cert", tls / "cert.pem", "--key", tls / "key.pem"]))
    return {**result, "hit_ns": (result["after_ns"] - result["before_ns"]) / 2}  # the entry's and the return's


def measure_first_byte(rig):
    """A curl of one request: from its start to the first byte of the answer. Sluice probes each of the
    first of them by itself, and the library for all when it sees that they are many."""
    taken = {"beside": [], "process": [], "library": []}
    for _ in range(CURLS):
        for situation in ("beside", "governed"):
            first_byte = float(run(rig.curl(situation)).split()[2])
            modes = {library["mode"] for library in rig.sluiced.status()["libraries"]}
            probed = "library" if "library" in modes else "process"
            taken["beside" if situation == "beside" else probed].append(first_byte)
    return {probes: quantiles(of) for probes, of in taken.items() if len(of) > 1}


def measure_release(rig):
    """Flows that wait for a bucket to fill, which lets a request go each 10 ms. The bucket is used up
    first, and a dear request stands in front until all the flows wait behind it."""
    run(rig.curl("governed", model=load.MODEL, max_tokens=METERED_TPM - 2 * METERED_COST))
    options = {"base": f"https://{HOST}:{rig.openai.port}", "ca": rig.openai.ca, "key": KEY, "team": "bench",
               "workers": FLOWS, "bucket": METERED_TPM, "fill": METERED_TPM / 60, "seconds": FLOW_SECONDS,
               "sizes": METERED_COST}
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    wire = compile_c(rig.openai.folder, "wire")
    with ExitStack() as stack:
        front = stack.enter_context(running(rig.curl("governed", model=load.MODEL, max_tokens=METERED_TPM // 30)))
        wait_for(rig.sluiced.queue, 10, "the dear request waits")
        flows = stack.enter_context(running(["node", HERE.parent / "e2e/load.mjs", *words]))
        wait_for(lambda: len(rig.sluiced.queue()) > FLOWS, 10, f"{FLOWS} flows wait")
        front.wait(10)
        tracer = stack.enter_context(running([wire, f"{wire}.bpf.o", rig.sluiced.process.pid, rig.openai.port],
                                             stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert tracer.stdout.readline() == b"ready\n", "the tracer did not start"
        flows.wait(FLOW_SECONDS + 10)
        taken_ns = json.loads(tracer.communicate(timeout=10)[0])
    log = [row for row in rig.openai.log() if row["model"] == load.MODEL]
    assert len(log) > 50 * FLOW_SECONDS and all(row["status"] == 200 for row in log), "the server refused some"
    # The bucket fills evenly, so their due times are a grid; it begins where nobody was early.
    step = METERED_COST / (METERED_TPM / 60)
    late = [row["t"] - i * step for i, row in enumerate(log[2:-FLOWS])]
    return {"decision_to_wire_us": quantiles(taken_ns, scale=1e-3),
            "decision_to_return_us": rig.sluiced.status()["decision_us"],
            "due_to_server_us": quantiles([t - min(late) for t in late])}


@contextmanager
def running(argv, stdout=subprocess.DEVNULL, **popen):
    process = subprocess.Popen([str(word) for word in argv], stdout=stdout, **popen)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def memory_mb(rig):
    """(now, peak)"""
    lines = dict(line.split(":", 1) for line in open(f"/proc/{rig.sluiced.process.pid}/status", encoding="ascii"))
    return tuple(int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))


def measure(rounds):
    memory, opaque = [], []
    with Rig() as rig:
        result = {"clients": measure_clients(rig, rounds), "trap": measure_trap(rig.openai.folder)}
        for name, measurement in (("neighbour", measure_neighbour), ("hits", measure_hits),
                                  ("first_byte", measure_first_byte), ("release", measure_release)):
            if name != "hits":  # it has no use for a new daemon
                rig.switch_off()
                rig.switch_on()
            result[name] = measurement(rig)
            memory.append(memory_mb(rig))
            opaque.append(rig.sluiced.status()["opaque"])
    result["memory_mb"] = {"now": memory[-1][0], "peak": max(peak for _, peak in memory)}
    result["opaque"] = sum(opaque)
    return result


def judge(result):
    """[(name, value, unit, at most, whether it is met)]"""
    values = {"decision to wire, p99": result["release"]["decision_to_wire_us"]["p99"],
              **{f"probe hits a request, {client}": result["hits"][client] for client in CLIENTS},
              "sluiced, memory at its peak": result["memory_mb"]["peak"]}
    return [(name, values[name], unit, most, values[name] <= most) for name, (unit, most) in TARGETS.items()]


def print_table(result):
    print("\nLatency of a request on a kept connection, us")
    print(f"  {'':10}{'without':>16}{'beside':>16}{'governed':>16}{'added':>16}{'ratio':>14}{'beside adds':>14}")
    print(f"  {'':10}" + 4 * f"{'p50     p99':>16}" + f"{'p50   p99':>14}{'p50':>14}")
    for client, of in result["clients"].items():
        latency = of["latency_us"]
        line = "".join(f"{latency[s]['p50']:8.0f}{latency[s]['p99']:8.0f}" for s in SITUATIONS)
        added = latency["governed"]
        print(f"  {client:10}{line}{added['added_p50']:8.0f}{added['added_p99']:8.0f}"
              f"{added['ratio_p50']:8.2f}{added['ratio_p99']:6.2f}{latency['beside']['added_p50']:14.0f}")
    print("\nCPU of a request, us")
    print(f"  {'':10}{'client without':>16}{'beside':>16}{'governed':>16}{'sluiced':>16}")
    for client, of in result["clients"].items():
        cpu = of["cpu_us"]
        print(f"  {client:10}" + "".join(f"{cpu[name]:16.0f}" for name in (*SITUATIONS, "sluiced")))
    print_rest(result)


def print_rest(result):
    release, trap, neighbour = result["release"], result["trap"], result["neighbour"]
    first = result["first_byte"]
    print(f"\nReleasing what is held ({FLOWS} flows, one each 10 ms)")
    for name, text in (("decision_to_wire_us", "decision to wire"),
                       ("decision_to_return_us", "decision to the push's return (sluiced's own)"),
                       ("due_to_server_us", "due time to the server's program")):
        of = release[name]
        print(f"  {text:48} p50 {of['p50']:6.0f}   p99 {of['p99']:6.0f} us   of {of.get('n') or of['count']}")
    print("\nOne probe hit")
    for name, text in (("emulated", "first instruction emulated"), ("stepped", "first instruction stepped")):
        of = trap[name]
        print(f"  empty probe, {text:26} {of['entry_ns'] / 1000:7.2f} us   with a return probe "
              f"{of['entry_and_return_ns'] / 1000:7.2f} us   a call without {of['plain_ns']:.1f} ns")
    print(f"  Sluice's, on a connection that it does not govern {neighbour['hit_ns'] / 1000:6.2f} us   (SSL_write "
          f"{neighbour['before_ns'] / 1000:.2f} us, with both probes {neighbour['after_ns'] / 1000:.2f} us)")
    print("\nA curl of one request: from its start to the first byte of the answer, us")
    for situation, text in (("beside", "not governed"), ("process", "probes of its own"), ("library", "probes of all")):
        if of := first.get(situation):
            added = of["p50"] - first["beside"]["p50"]
            print(f"  {text:20} p50 {of['p50']:8.0f}   p99 {of['p99']:8.0f}   of {of['n']:3}"
                  + (f"   added {added:6.0f}" if situation != "beside" else ""))
    print(f"\nsluiced: {result['memory_mb']['now']:.1f} MB resident, {result['memory_mb']['peak']:.1f} MB at its peak; "
          f"flows it did not understand: {result['opaque']}")


def print_verdicts(verdicts):
    print("\nTargets")
    for name, value, unit, most, met in verdicts:
        print(f"  {'met' if met else 'MISSED':8}{name:34}{value:8.1f} of at most {most} {unit}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    if os.geteuid() != 0 or not (BUILD / "sluiced").exists():
        sys.exit("bench.py: run `make`, and this as root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is put away
    result = measure(options.rounds)
    verdicts = judge(result)
    if options.json:
        result["targets"] = [dict(zip(("name", "value", "unit", "at_most", "met"), verdict)) for verdict in verdicts]
        print(json.dumps(result, indent=1))
    else:
        print_table(result)
        print_verdicts(verdicts)
    return 0 if all(met for *_, met in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())

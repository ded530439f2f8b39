# SPDX-License-Identifier: MIT
"""report - what was measured, for a terminal."""

from rounds import spread

LATENCIES = ("latency_p50_us", "latency_p99_us")


def show(scenario, result):
    print(f"\n{scenario.name}  {scenario.about}")
    if "series" in result:
        width = max(map(len, result["series"])) + 2
        for label, each in result["series"].items():
            for first, line in zip((label, *[""] * 9), lines_of(scenario.name, each)):
                print(f"  {first:{width}}{line}")
    elif "text" in result:
        for part in result["text"].values():
            print("\n" + part.rstrip())
    elif "per_chunk" in result["figures"]:
        show_counts(result["figures"])
    else:
        show_idle(result["figures"])


def lines_of(name, each):
    """How fast it was and what it cost; then, where they were looked at, ages and memory."""
    def of(metric_name, unit_name):
        return text(spread(one[metric_name] for one in each), unit_name)

    if name == "client":
        yield f"{of('client_lines_per_cpu_s', 'lines')} for a CPU second of its own; {of('lines_per_s', 'lines/s')}"
        return
    yield f"{of(metric(name), unit(name)):36}  CPU {of('cpu_us_per_line', 's/M lines')}{roles(each)}"
    if all(latency in one for one in each for latency in LATENCIES):
        yield "one way " + ", ".join(f"{latency[8:11]} {of(latency, 'us')}" for latency in LATENCIES)
    if "bytes_per_stream" in each[0]:
        yield f"dispatcher memory for a stream {of('bytes_per_stream', 'B')}"
    if "delivered" in each[0]:
        yield f"{of('delivered', '%')} of the lines that were due"


def metric(name):
    return "bytes_per_s" if name.startswith("B") else "requests_per_s" if name.startswith("U") else "lines_per_s"


def unit(name):
    return {"bytes_per_s": "B/s", "requests_per_s": "requests/s", "lines_per_s": "lines/s"}[metric(name)]


def roles(each):
    """What of the CPU was whose, where there is more than one."""
    names = list(each[0]["cpu_us_per_line_of"])
    if len(names) == 1:
        return ""
    of = (f"{name} {scaled(spread(one['cpu_us_per_line_of'][name] for one in each).middle)}" for name in names)
    return f" ({', '.join(of)})"


def show_counts(figures):
    for name, value in figures["per_chunk"].items():
        print(f"  {name:44}{value:>12.6f} for a chunk, over {figures['chunks']} of them")
    for process, calls in figures["calls"].items():
        print(f"  system calls, {process:10} " + ", ".join(f"{name} {count}" for name, count in calls.items()))


def show_idle(figures):
    few = "" if figures["connections"] >= figures["wanted"] else f" (the limit on descriptors allows no {figures['wanted']})"
    print(f"  {figures['connections']} connections{few}, dispatcher memory of each: {figures['bytes_each']:.0f} B")


def show_measures(outcomes):
    print(f"\n{'scenario':13}{'measure':53}{'median [lowest .. highest]':34}{'asked for':>14}{'aim':>12}")
    for outcome in outcomes:
        one = outcome.measure
        sign = ">=" if one.is_least else "<="
        print(f"{one.scenario:13}{one.text:53}{text(outcome.value, one.unit):34}"
              f"{sign + ' ' + limit(one.bound, one.unit):>14}{limit(one.aim, one.unit):>12}  {outcome.verdict}")


def limit(value, name):
    return f"{value:g}{'' if name in ('x', '') else ' '}{name}"


def text(values, name):
    if name == "us" and values.middle >= 10_000:
        return text(spread(value / 1000 for value in values), "ms")
    space = "" if name in ("x", "") else " "
    if values.low == values.high:
        return f"{scaled(values.middle)}{space}{name}"
    return f"{scaled(values.middle)}{space}{name} [{scaled(values.low)} .. {scaled(values.high)}]"


def scaled(value):
    for factor, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= 10 * factor or (factor > 1e3 and abs(value) >= factor):
            return f"{value / factor:.4g}{letter}"
    if value and abs(value) < 0.01:
        return f"{value:.5f}"
    return f"{value:.4g}"

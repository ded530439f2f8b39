# SPDX-License-Identifier: MIT
"""table - what a run wrote down, as one table for a terminal."""

import figures
import machine

COLUMNS = (("server", 34), ("line", 5), ("rate /s", 29), ("millrace is", 22), ("CPU s/M lines", 22), ("calls/line", 10), ("MiB", 6),
           ("one-way p50, p99", 20), ("due lines", 9))


def show(record, file):
    machine.show(record["machine"])
    print(f"rounds   {record['rounds']} of about {record['seconds']:g} s, each server in turn with millrace; "
          "median [lowest .. highest]\n"
          "line     own: about 75 bytes, gathered while no line has to be waited for; each: the same, each sent when made;\n"
          f"         same: gathered, and as millrace's, which are always results, {record['around_bytes']} bytes more\n", file=file)
    print("  ".join(name.ljust(width) for name, width in COLUMNS).rstrip(), file=file)
    for scenario in record["scenarios"]:
        print(f"\n{scenario['name']}  {scenario['about']}", file=file)
        for row in figures.rows(record, scenario):
            print("  ".join(cells(row)).rstrip(), file=file)
    print("\nMarked * : the code that makes the lines runs in other processes than the one that speaks HTTP.", file=file)


def cells(row):
    name = ("* " if row.is_isolated else "  ") + row.title
    if row.said:
        yield name.ljust(COLUMNS[0][1])
        yield row.said
        return
    texts = (name, row.kind, count(row.rate), "" if row.key == "millrace" else times(row.ratio), seconds(row.cpu_s),
             each(row.calls), f"{row.pss_bytes / 2**20:.0f}" if row.pss_bytes else "",
             f"{age(row.latency_p50_us.middle)}, {age(row.latency_p99_us.middle)}" if row.delivered else "",
             f"{row.delivered.middle:.1%}" if row.delivered else "")
    for (_, width), text in zip(COLUMNS, texts):
        yield text.ljust(width)
    if row.bad:
        yield again(row)


def again(row):
    return f"measurements that had to be made again: {len(row.bad)} ({row.bad[0]})"


def count(values):
    return f"{scaled(values.middle)} [{scaled(values.low)} .. {scaled(values.high)}]"


def scaled(value):
    if value >= 999_500:
        return f"{value / 1e6:.2f} M"
    return f"{value / 1e3:.1f} k" if value >= 1000 else f"{value:.0f}"


def times(values):
    return f"{values.middle:.2f}x [{values.low:.2f} .. {values.high:.2f}]"


def seconds(values):
    return f"{values.middle:.2f} [{values.low:.2f} .. {values.high:.2f}]"


def each(calls):
    """A number that may be 5 or 0.0005, with two digits."""
    if calls is None:
        return ""
    return f"{calls:.1f}" if calls >= 1 else f"{float(f'{calls:.2g}'):.5f}".rstrip("0").rstrip(".")


def age(microseconds):
    return f"{microseconds / 1e3:.1f} ms" if microseconds >= 1000 else f"{microseconds:.0f} us"

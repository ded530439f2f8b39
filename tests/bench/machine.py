# SPDX-License-Identifier: MIT
"""machine - what figures belong to: processor, kernel, commit."""

import os
import platform
import re
import shutil
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, os.environ.get("BUILD", "build/release"))
# Root's workers would have users of their own, who cannot read what lies in a folder of root's.
AS_SERVER = ["--worker-user", "root"] if os.geteuid() == 0 else []


def described():
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "Linux"),
        "commit": commit(),
        "compiler": (output(os.environ.get("CC", "gcc"), "--version") or "unknown").splitlines()[0],
        "load": round(os.getloadavg()[0], 2),
    }


def show(about):
    print(f"machine  {about['processor']}, {about['cores']} cores, {about['memory_bytes'] / 2**30:.0f} GiB, "
          f"load {about['load']:.2f} at the start\n"
          f"kernel   {about['kernel']}, {about['system']}\n"
          f"commit   {about['commit']}, built by {about['compiler']}", flush=True)


def commit():
    name = output("git", "rev-parse", "--short=12", "HEAD") or "unknown"
    return name + (" with changes" if output("git", "status", "--porcelain", "--untracked-files=no") else "")


def output(*command):
    """What it prints; nothing where it is not installed."""
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False, cwd=TOP)
    return done.stdout.strip()


def processor():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        match = re.search(r"^model name\s*:\s*(.*)$", file.read(), re.MULTILINE)
    return match.group(1) if match else platform.machine()

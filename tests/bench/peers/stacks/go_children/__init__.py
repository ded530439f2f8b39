# SPDX-License-Identifier: MIT
"""Go with child processes: one speaks HTTP, two others make the lines and send them through pipes."""

from stacks import go


class Peer(go.Peer):
    key = "go_children"
    title = "Go with child processes"
    is_isolated = True
    about = ("net/http in front; 2 children, a goroutine for each stream, frames of all streams of a child through one pipe, "
             "up to 64 KiB in one write")
    mode = "children"

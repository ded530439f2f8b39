# SPDX-License-Identifier: MIT
"""garbage - half-valid HTTP from a seed: requests that are right, nearly right, cut, torn and jumbled.

play() sends it to a server over and over, and looks at what comes back: nothing, or answers whose first
line is one of HTTP/1.1 with a status that the API knows.
"""

import re
import socket
import struct
import time

BODIES = (
    b'{"pipeline":"d/numbers:v1","inputs":[{"type":"integer","value":50},{"type":"string","value":"x"},'
    b'{"type":"integer","value":1}]}',
    b'{"pipeline":"d/echo:v1","inputs":[{"type":"dictionary","value":{"a":[1,2,{"b":null}],"c":"\\u0000x",'
    b'"d":1e300,"e":-5}}]}',
    b'{"pipeline":"d/words:v1","inputs":[{"type":"string","value":"a b"}]}',
)
METHODS = (b"POST", b"POST", b"POST", b"GET", b"DELETE", b"HEAD", b"OPTIONS", b"P\xc3\x96ST")
PATHS = (b"/v4/runs/stream", b"/v4/runs/stream", b"/v4/runs", b"/v4/pipelines", b"/v4/runs/run_x", b"/metrics", b"/readyz",
         b"/", b"/%00", b"//v4/../runs")
FIELDS = (b"", b"", b"Accept: text/event-stream\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n",
          b"X-Request-Timeout: 0.05\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: gzip\r\n", b"Host: y\r\n",
          b" folded: line\r\n", b"X-Long: " + b"y" * 9000 + b"\r\n")
STATUS = re.compile(rb"HTTP/1\.1 (100|200|202|400|401|403|404|405|408|409|413|414|415|417|422|429|431|500|501|503|504|505) ")
RECEIVE_TIMEOUT_S = 0.05
HELD_COUNT_MAX = 30
RESET = struct.pack("ii", 1, 0)


def mutated(chance, data, share, count):
    """Some of the bytes replaced, in a `share` of all cases."""
    if chance.random() >= share:
        return data
    data = bytearray(data)
    for _ in range(chance.randint(1, count)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def chunked(chance, body):
    parts = []
    while body:
        size = chance.randint(1, 40)
        parts.append(b"%x\r\n%s\r\n" % (len(body[:size]), body[:size]))
        body = body[size:]
    return b"".join(parts) + b"0\r\n\r\n"


def request(chance):
    body = mutated(chance, chance.choice(BODIES), 0.3, 4)
    head = b"%s %s HTTP/1.1\r\nHost: localhost\r\n%s" % (chance.choice(METHODS), chance.choice(PATHS), chance.choice(FIELDS))
    if chance.random() < 0.5:
        message = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    else:
        message = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(chance, body)
    return mutated(chance, message, 0.2, 5)


def send(chance, client, data):
    """In pieces, and not always to the end."""
    while data:
        size = chance.randint(1, len(data))
        client.sendall(data[:size])
        data = data[size:]
        if chance.random() < 0.1:
            return


def talk(chance, client):
    """One connection's life. Returns what is wrong with the answer, or None."""
    wrong = None
    try:
        send(chance, client, b"".join(request(chance) for _ in range(chance.randint(1, 4))))
        if chance.random() < 0.5:
            answer = client.recv(chance.choice((1, 100, 65536)))
            if len(answer) > 16 and not STATUS.match(answer):
                wrong = answer[:200]
        if chance.random() < 0.2:
            client.shutdown(socket.SHUT_WR)
        if chance.random() < 0.2:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    except OSError:
        pass
    return wrong


def play(chance, port, end_s, count_max, each):
    """Connects until the time or the count is over, and calls each(n) after each connection. Returns the
    number of connections, and what was wrong with answers."""
    held, wrong, count = [], [], 0
    while time.monotonic() < end_s and count < count_max:
        try:
            client = socket.create_connection(("127.0.0.1", port), timeout=2)
        except OSError:
            continue
        client.settimeout(RECEIVE_TIMEOUT_S)
        found = talk(chance, client)
        if found:
            wrong.append(found)
        if chance.random() < 0.1:
            held.append(client)
        else:
            client.close()
        if len(held) > HELD_COUNT_MAX:
            held.pop(0).close()
        count += 1
        each(count)
    for client in held:
        client.close()
    return count, wrong

// SPDX-License-Identifier: MIT
//
// fetch.mjs - reads streams with fetch, line by line, as a page in a browser would.
//
//     node fetch.mjs URL BODY COUNT
//
// Runs COUNT streams one after another. For each line of each stream it prints one JSON object: which
// stream, the milliseconds since the request, and the line.
const [url, body, count] = process.argv.slice(2);

for (let stream = 0; stream < Number(count); stream++) {
    const began = performance.now();
    const response = await fetch(url, {
        method: "POST",
        headers: {"Content-Type": "application/json", Authorization: "Bearer token"},
        body,
    });
    if (!response.ok)
        throw new Error(`status ${response.status}: ${await response.text()}`);
    const decoder = new TextDecoder();
    let rest = "";
    for await (const bytes of response.body) {
        rest += decoder.decode(bytes, {stream: true});
        const lines = rest.split("\n");
        rest = lines.pop();
        for (const line of lines)
            console.log(JSON.stringify({stream, ms: performance.now() - began, line}));
    }
    if (rest)
        throw new Error(`the last line has no end: ${rest}`);
}

